// Reading and search without a network: registers /sw.js, which keeps the pages that were visited.

import {ROOT} from "./page.js";
import {state} from "./store.js";

export const works = () => isSecureContext && location.protocol.startsWith("http") && "serviceWorker" in navigator;

/** What search needs beside the page: its index and its worker. */
function search() {
  const settings = JSON.parse(document.getElementById("__config")?.textContent ?? "null");
  if (!settings?.search) return [];
  const base = new URL(`${settings.base}/`, location);
  return [new URL("search/search_index.json", base).href, new URL(settings.search, base).href];
}

const ours = url => url.startsWith(ROOT.href);

async function keep(urls) {
  const {active} = await navigator.serviceWorker.ready;
  const {port1, port2} = new MessageChannel();
  const answer = new Promise(resolve => { port1.onmessage = ({data}) => resolve(data); });
  active.postMessage({keep: urls.filter(ours)}, [port2]);
  return answer;
}

export async function keepVisited() {
  if (!works() || !state.offline) return;
  try {
    await navigator.serviceWorker.register(new URL("sw.js", ROOT), {updateViaCache: "none"});
    // The worker saw nothing of the page that brought it.
    if (!navigator.serviceWorker.controller) await keep([location.href, ...performance.getEntriesByType("resource").map(({name}) => name), ...search()]);
  } catch { /* private windows and strict settings refuse; the site works without */ }
}

/** Resolves to the number of pages kept. */
export async function keepEverything() {
  const index = search()[0] ?? new URL("search/search_index.json", ROOT).href;
  const {docs} = await (await fetch(index)).json();
  const pages = [...new Set(docs.map(({location}) => new URL(location.split("#")[0], ROOT).href))];
  const kept = await keep([...search(), ...["plans", "quiz", "skills"].map(name => new URL(`data/${name}.json`, ROOT).href), ...pages]);
  return pages.filter(page => kept.includes(page)).length;
}

export async function forgetPages() {
  for (const one of await navigator.serviceWorker?.getRegistrations() ?? []) if (one.scope === ROOT.href) await one.unregister();
  for (const name of await caches.keys()) if (name.startsWith(`ninety ${ROOT.pathname} `)) await caches.delete(name);
}
