// What the pages do beyond links and forms: ask before what cannot be undone, take files that are dropped on a field,
// send the form that has nothing to fill in, keep open what is open, and come back when the registrar was away.
"use strict";

document.addEventListener("submit", (event) => {
  const question = event.submitter?.dataset.confirm;
  if (question && !window.confirm(question)) {
    event.preventDefault();
  }
});

for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, async (event) => {
    const field = event.target.closest?.("textarea[data-drop]");
    if (!field) {
      return;
    }
    event.preventDefault();
    field.classList.toggle("dropping", kind === "dragover");
    const file = kind === "drop" && event.dataTransfer.files[0];
    if (file) {
      field.value = await file.text();
    }
  });
}

document.querySelector("form[data-send]")?.requestSubmit();

// A part that asks for itself again comes back with everything folded away.
let open = [];
document.addEventListener("htmx:beforeSwap", () => {
  open = Array.from(document.querySelectorAll("details[open][id]"), (each) => each.id);
});
document.addEventListener("htmx:afterSettle", () => {
  for (const id of open) {
    document.getElementById(id)?.setAttribute("open", "");
  }
});

// The registrar may be away, or its database, or the log-in may be over. A stream that ends by itself is no loss, so
// that the page is asked for before anything is said.
const connection = document.getElementById("connection");
const PAUSE_MILLIS = 2000;
let isAsking = false;

// Where to go on once the registrar answers; none while it does not.
async function way() {
  try {
    const answer = await fetch(location.href, { cache: "no-store", redirect: "manual" });
    if (answer.type === "opaqueredirect") {
      const next = encodeURIComponent(location.pathname + location.search);
      return `/console/login?next=${next}`;
    }
    // What was sent by a form cannot be opened again.
    return answer.status === 405 ? "/console/now" : answer.ok ? location.href : undefined;
  } catch {
    return undefined;
  }
}

async function lost() {
  if (isAsking || !connection) {
    return;
  }
  isAsking = true;
  let next;
  while (!(next = await way())) {
    if (!("away" in connection.dataset)) {
      connection.textContent =
        "The registrar or its database is away: what you see may be old. This page tries again by itself.";
    }
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLIS));
  }
  isAsking = false;
  if ("away" in connection.dataset || next !== location.href) {
    location.replace(next);
  } else if (connection.textContent !== "") {
    connection.textContent = "";
    document.querySelectorAll("[data-live]").forEach((part) => htmx.trigger(part, "again"));
  }
}

for (const kind of ["htmx:sseError", "htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(kind, lost);
}
if (connection && "away" in connection.dataset) {
  lost();
}
