// A conversation: posts in order, with a line where a new day begins.

import * as times from "./times.js";

export class Conversation {
  constructor(place, log, name) {
    this.place = place;
    this.log = log;
    this.name = name;  // user → what to call them
    this.posts = new Map();
    this.more = document.createElement("button");
    this.more.type = "button";
    this.more.className = "earlier quiet";
    this.more.textContent = "Earlier messages";
    this.more.hidden = true;
    this.empty = document.createElement("p");
    this.empty.className = "empty";
    log.append(this.more, this.empty);
  }

  // All at once and without announcing each of them.
  fill(posts, canBeMore, emptyWords) {
    this.log.setAttribute("aria-busy", "true");
    for (const article of this.log.querySelectorAll("article")) article.remove();
    this.posts.clear();
    this.empty.textContent = emptyWords;
    for (const post of posts) this.add(post);
    this.more.hidden = !canBeMore;
    this.empty.hidden = this.posts.size > 0;
    this.log.removeAttribute("aria-busy");
  }

  // Answers arrive twice, as the answer and in the stream; the second is nothing.
  add(post) {
    if (this.posts.has(post.id)) return false;
    const article = drawn(post, this.name(post.author));
    article.dataset.id = post.id;
    let before = this.log.lastElementChild;
    while (before && before.matches("article") && Number(before.dataset.id) > post.id) before = before.previousElementSibling;
    before.after(article);
    this.posts.set(post.id, article);
    this.empty.hidden = true;
    lineOfDay(article);
    if (article.nextElementSibling) lineOfDay(article.nextElementSibling);
    return true;
  }

  first() {
    return Math.min(...this.posts.keys());
  }

  last() {
    return Math.max(0, ...this.posts.keys());
  }

  // In another zone the same posts fall on other days.
  redress() {
    for (const article of this.posts.values()) {
      dressed(article);
      lineOfDay(article);
    }
  }

  isAtEnd() {
    return this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 80;
  }

  toEnd() {
    this.log.scrollTop = this.log.scrollHeight;
  }
}

function drawn(post, name) {
  const article = document.createElement("article");
  article.id = `post-${post.id}`;
  article.className = `post${post.private ? " private" : ""}${post.author === "ninety" ? " bot" : ""}`;
  article.tabIndex = -1;
  article.dataset.at = post.at;
  article.setAttribute("aria-labelledby", `by-${post.id}`);
  article.innerHTML = '<p class="day"></p><div class="face" aria-hidden="true"></div><header><b></b> <a class="at"><time></time></a> <span class="only">Only you can see this</span></header><div class="said"></div>';
  const [, face, header, said] = article.children;
  header.id = `by-${post.id}`;
  header.querySelector("b").textContent = name;
  header.querySelector("a").href = `#post-${post.id}`;
  header.querySelector("time").dateTime = post.at;
  if (!post.private) header.querySelector(".only").remove();
  if (post.author === "ninety") face.append(document.querySelector(".brand .mark").cloneNode(true));
  else face.textContent = [...name.trim()][0] ?? "?";
  face.dataset.tint = [...post.author].reduce((sum, c) => sum + c.codePointAt(0), 0) % 4;
  said.innerHTML = post.html;  // the server's own markup, in which what people typed is text
  dressed(article);
  return article;
}

function dressed(article) {
  const at = article.dataset.at;
  const time = article.querySelector("header time");
  time.textContent = times.clock(at);
  time.title = times.full(at);
  article.firstElementChild.textContent = times.day(at);
  times.dress(article.lastElementChild);
}

function lineOfDay(article) {
  const before = article.previousElementSibling;
  const line = article.firstElementChild;
  line.hidden = Boolean(before?.matches("article")) && before.firstElementChild.textContent === line.textContent;
}
