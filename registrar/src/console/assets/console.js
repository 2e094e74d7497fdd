// What the pages do beyond links and forms: ask before what cannot be undone, take files that are dropped on a field,
// and send the form that has nothing to fill in.
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
