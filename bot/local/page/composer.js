// The line to type into, with the commands to choose from (the combobox pattern of WAI-ARIA, manual selection: nothing
// is chosen until somebody goes there, so that "/cohort leave" is never sent by accident).

const line = document.getElementById("line");
const list = document.getElementById("commands");
let commands = [];
let offered = [];
let chosen = -1;

export function offer(known) {
  commands = known;
  close();
}

export function isChoosing() {
  return !list.hidden && chosen >= 0;
}

function matching(typed) {
  if (!typed.startsWith("/")) return [];
  const wanted = typed.slice(1).toLowerCase().trimStart();
  return commands.filter(({ name }) => name.startsWith(wanted) || name.split(" ").some((word) => word.startsWith(wanted)));
}

function refresh() {
  offered = matching(line.value);
  chosen = -1;
  const exact = offered.length === 1 && line.value === `/${offered[0].name}`;
  if (!offered.length || exact) return close();
  list.replaceChildren(...offered.map(({ name, argument, help }, index) => {
    const option = document.createElement("li");
    option.role = "option";
    option.id = `command-${index}`;
    option.ariaSelected = "false";
    const code = document.createElement("code");
    code.textContent = `/${name}`;
    if (argument) {
      const more = document.createElement("i");
      more.textContent = ` ${argument}`;
      code.append(more);
    }
    const words = document.createElement("span");
    words.textContent = help;
    option.append(code, words);
    option.addEventListener("pointerdown", (event) => event.preventDefault());  // the line keeps the focus
    option.addEventListener("click", () => take(index));
    return option;
  }));
  list.hidden = false;
  line.ariaExpanded = "true";
  line.removeAttribute("aria-activedescendant");
}

function close() {
  list.hidden = true;
  chosen = -1;
  line.ariaExpanded = "false";
  line.removeAttribute("aria-activedescendant");
}

function choose(index) {
  chosen = (index + offered.length) % offered.length;
  [...list.children].forEach((option, at) => { option.ariaSelected = String(at === chosen); });
  const option = list.children[chosen];
  line.setAttribute("aria-activedescendant", option.id);
  option.scrollIntoView({ block: "nearest" });
}

function take(index) {
  const { name, argument } = offered[index];
  line.value = `/${name}${argument ? " " : ""}`;
  close();
  line.focus();
}

line.addEventListener("input", refresh);
line.addEventListener("blur", close);
line.addEventListener("keydown", (event) => {
  if (event.isComposing) return;
  if (event.key === "Escape" && !list.hidden) {
    event.preventDefault();
    close();
  } else if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    if (list.hidden) refresh();
    if (list.hidden) return;
    event.preventDefault();
    choose(event.key === "ArrowDown" ? chosen + 1 : chosen === -1 ? -1 : chosen - 1);
  } else if ((event.key === "Enter" || event.key === "Tab") && isChoosing()) {
    event.preventDefault();
    take(chosen);
  }
});

document.getElementById("slash").addEventListener("pointerdown", (event) => event.preventDefault());
document.getElementById("slash").addEventListener("click", () => {
  line.focus();
  if (!list.hidden) return close();
  if (!line.value.startsWith("/")) line.value = `/${line.value}`;
  if (!matching(line.value).length) line.value = "/";
  refresh();
});
