// Before the first paint, so that a dark room does not flash white. No module: those wait for the whole page.
(() => {
  const themes = ["system", "light", "dark"];
  const chosen = () => {
    const kept = localStorage.getItem("ninety:theme");
    return themes.includes(kept) ? kept : "system";
  };
  const wear = (theme) => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  };
  wear(chosen());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const label = () => { button.textContent = { system: "Auto", light: "Light", dark: "Dark" }[chosen()]; };
    button.setAttribute("aria-label", "Colours: automatic, light or dark");
    button.addEventListener("click", () => {
      const next = themes[(themes.indexOf(chosen()) + 1) % themes.length];
      localStorage.setItem("ninety:theme", next);
      wear(next);
      label();
      button.setAttribute("aria-label", `Colours: ${button.textContent}`);
    });
    label();
  });
})();
