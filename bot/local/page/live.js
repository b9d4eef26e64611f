// The stream of what is new. It resumes after the last post it gave, and comes back by itself.

export class Stream {
  constructor({ person, after, post, time, state }) {
    this.url = () => `/chat/api/events?as=${encodeURIComponent(person)}&after=${this.last}`;
    this.last = after;
    this.told = { post, time, state };
    this.stopped = false;
    this.wait = 1000;
    this.onSight = () => this.sight();
    document.addEventListener("visibilitychange", this.onSight);
    this.open();
  }

  open() {
    clearTimeout(this.again);
    this.source?.close();
    this.source = new EventSource(this.url());
    this.source.onopen = () => {
      this.wait = 1000;
      clearTimeout(this.doubt);
      this.doubt = 0;
      this.told.state(true);
    };
    this.source.addEventListener("post", (event) => {
      const post = JSON.parse(event.data);
      this.last = Math.max(this.last, post.id);
      this.told.post(post);
    });
    this.source.addEventListener("time", (event) => this.told.time(JSON.parse(event.data)));
    this.source.onerror = () => {
      // A blink is no news.
      this.doubt ||= setTimeout(() => this.told.state(false), 2500);
      if (this.source.readyState !== EventSource.CLOSED) return;
      // The browser gives up after a refusal; we do not.
      this.again = setTimeout(() => this.open(), this.wait);
      this.wait = Math.min(this.wait * 2, 15_000);
    };
  }

  // A browser opens six connections to one server: tabs out of sight for a while give theirs back.
  sight() {
    clearTimeout(this.rest);
    if (document.hidden) this.rest = setTimeout(() => { this.source.close(); this.resting = true; }, 20_000);
    else if (this.resting) {
      this.resting = false;
      this.open();
    }
  }

  close() {
    for (const timer of [this.again, this.doubt, this.rest]) clearTimeout(timer);
    document.removeEventListener("visibilitychange", this.onSight);
    this.source.close();
  }
}
