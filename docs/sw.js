// Pages and files of the guide for reading without a network. The network comes first, so nothing is stale while there is
// one; what was kept answers when it fails or is too slow. Only pages of this guide are kept: a page of somebody else
// below the same address (the chat of `ninety demo`) does not load our module, and is left alone.

const SCOPE = new URL(registration.scope).pathname;
const CACHE = `ninety ${SCOPE} 1`;
const PATIENCE = 4000;      // milliseconds, where something is kept
const MOST = 800;           // files
const FILES = /^(assets|data|search)\//;
const below = url => new URL(url).pathname.slice(SCOPE.length);
const plain = url => url.split("#")[0];

addEventListener("install", () => skipWaiting());
addEventListener("activate", event => event.waitUntil((async () => {
  for (const name of await caches.keys()) if (name.startsWith(`ninety ${SCOPE} `) && name !== CACHE) await caches.delete(name);
  await clients.claim();
})()));

async function keep(url, answer) {
  if (!answer.ok || answer.type !== "basic" || answer.redirected) return false;
  if (!FILES.test(below(url)) && !(await answer.clone().text()).includes("assets/js/ninety.js")) return false;
  try {
    const cache = await caches.open(CACHE);
    await cache.put(plain(url), answer);
    const keys = await cache.keys();
    if (keys.length > MOST) await cache.delete(keys.find(({url}) => !FILES.test(below(url))) ?? keys[0]);
    return true;
  } catch { return false; }     // no room: reading online goes on
}

addEventListener("message", event => {
  if (!Array.isArray(event.data?.keep)) return;
  event.waitUntil((async () => {
    const kept = [], urls = event.data.keep.filter(url => url.startsWith(registration.scope));
    const next = async () => {
      for (let url; (url = urls.shift());) try { if (await keep(url, await fetch(url))) kept.push(url); } catch { /* offline */ }
    };
    await Promise.all(Array.from({length: 6}, next));
    event.ports[0]?.postMessage(kept);
  })());
});

const GONE = `<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Offline - Ninety</title>
<style>:root{color-scheme:light dark}body{font:1.1rem/1.6 system-ui,sans-serif;max-width:34em;margin:12vh auto;padding:0 1.2em}</style>
<h1>You are offline</h1><p>This page was not visited before, so this browser has not kept it. Pages that you have visited can still be read.</p><p><a href="${SCOPE}">Home</a></p></html>`;

addEventListener("fetch", event => {
  const {request} = event;
  if (request.method !== "GET" || !request.url.startsWith(registration.scope) || request.headers.has("range")) return;
  if (request.mode !== "navigate" && !FILES.test(below(request.url))) return;
  event.respondWith((async () => {
    const cache = await caches.open(CACHE), kept = await cache.match(plain(request.url), {ignoreSearch: request.mode === "navigate"});
    let keeping;
    const fresh = fetch(request).then(answer => {
      keeping = keep(request.url, answer.clone());
      return answer;
    });
    event.waitUntil(fresh.then(() => keeping, () => {}));
    if (!kept) return fresh.catch(error => {
      if (request.mode !== "navigate") throw error;
      return new Response(GONE, {status: 503, headers: {"Content-Type": "text/html; charset=utf-8"}});
    });
    return Promise.race([fresh, new Promise(resolve => setTimeout(resolve, PATIENCE, kept))]).catch(() => kept);
  })());
});
