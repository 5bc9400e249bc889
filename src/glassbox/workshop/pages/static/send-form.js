// Sends the form as JSON and goes on to the workshop, or says beneath it what went wrong and what to do.
"use strict";

const form = document.querySelector("form");
const problem = form.querySelector(".problem");
const button = form.querySelector("button");

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  problem.textContent = "";
  try {
    const answer = await fetch(form.dataset.address, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(Object.fromEntries(new FormData(form))),
    });
    if (answer.ok) {
      location.replace("/");
      return;
    }
    const { detail, remedy } = await answer.json();
    problem.textContent = `${detail} ${remedy}`;
  } catch {
    problem.textContent = "The workshop doesn't answer. See whether it still runs, and try again.";
  }
  button.disabled = false;
});
