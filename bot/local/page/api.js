// Asking the server. Whatever goes wrong becomes a Problem with a sentence that can be shown.

export class Problem extends Error {
  constructor(said, status) {
    super(said);
    this.status = status;
  }
}

const LONGEST = 60_000;  // milliseconds; a database that stalls is waited for up to three times 15 s
const PATIENCE = 2_000;  // until somebody is told that they must wait

export async function look(path) {
  return answer(fetch(`/chat/api/${path}`, { signal: AbortSignal.timeout(LONGEST) }));
}

// `waits` is called when the answer takes long.
export async function send(path, body, waits = () => {}, longest = LONGEST) {
  const impatience = setTimeout(waits, PATIENCE);
  try {
    return await answer(fetch(`/chat/api/${path}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
      signal: longest ? AbortSignal.timeout(longest) : undefined,
    }));
  } finally {
    clearTimeout(impatience);
  }
}

async function answer(coming) {
  let response, body;
  try {
    response = await coming;
    body = await response.json();
  } catch {
    if (response) throw new Problem("The answer could not be read. Your text is still here; send it again.", response.status);
    throw new Problem("The chat cannot be reached: it was stopped, or the connection is gone. Your text is still here; send it again when it is back.", 0);
  }
  if (!response.ok) throw new Problem(body.problem ?? `The server said ${response.status}. Your text is still here.`, response.status);
  return body;
}

export function requestId() {
  return crypto.randomUUID();
}
