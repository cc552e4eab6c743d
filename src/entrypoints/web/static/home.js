// What is there when no conversation is open: a greeting, some first questions, a room's contents.

import { plainText } from "./markdown.js";
import { h, icon, plural, shortTime } from "./ui.js";

const QUESTIONS = [
  "What is Parley?",
  "How do I stop a reply?",
  "What happens when the server crashes mid-reply?",
  "How do I restore a deleted room?",
];

export function startPage(ask) {
  return h("section", { class: "home" }, [
    h("h2", {}, "What would you like to know?"),
    h("p", { class: "lead" }, "Parley answers from the documents it was given. A fresh install knows its own."),
    suggestions(ask),
  ]);
}

export function roomPage(room, conversations, ask) {
  return h("section", { class: "home room-home" }, [
    h("h2", {}, room.name),
    h("p", { class: "lead" }, conversations.length ? plural(conversations.length, "conversation") : "Nothing here yet. The first question opens a conversation in this room."),
    conversations.length
      ? h(
          "ul",
          { class: "cards" },
          conversations.map((one) =>
            h("li", {}, [
              h("a", { class: "card", href: `#/c/${one.id}` }, [
                h("span", { class: "card-title" }, one.title || "New conversation"),
                one.last_message ? h("span", { class: "card-text" }, plainText(one.last_message.preview)) : null,
                h("span", { class: "card-foot" }, `${plural(one.message_count, "message")} · ${shortTime(one.last_activity_at)}`),
              ]),
            ]),
          ),
        )
      : suggestions(ask),
  ]);
}

/** Something that could not be shown, with a way on. */
export function problemPage(text, label, run) {
  return h("section", { class: "home", role: "alert" }, [
    h("h2", {}, "This could not be opened"),
    h("p", { class: "lead" }, text),
    h("button", { type: "button", class: "button", onclick: run }, label),
  ]);
}

function suggestions(ask) {
  return h(
    "ul",
    { class: "suggestions" },
    QUESTIONS.map((question) =>
      h("li", {}, h("button", { type: "button", class: "suggestion", testid: "suggestion", onclick: () => ask(question) }, [h("span", {}, question), icon("chevron")])),
    ),
  );
}
