import { useChat } from "@ai-sdk/react";
import { DefaultChatTransport, generateId } from "ai";
import { useEffect, useState } from "react";

const api = "/api/chat";

const transport = new DefaultChatTransport({
  api,
  // Replay the answer also when it ended while the page was loading, or the network was away.
  prepareReconnectToStreamRequest: ({ id }) => ({ api: `${api}/${id}/stream?ended=true` }),
});

export default function App() {
  const [id] = useState(() => location.hash.slice(1) || generateId());
  const [chat, setChat] = useState(null);

  useEffect(() => {
    location.hash = id; // So that a reload, or a link, leads back to this chat.
    fetch(`${api}/${id}`)
      .then((answer) => answer.json())
      .then(setChat);
  }, [id]);

  return chat && <Chat id={id} chat={chat} />;
}

function Chat({ id, chat }) {
  const { messages, sendMessage, regenerate, status, error } = useChat({
    id,
    messages: chat.messages,
    resume: chat.live,
    transport,
  });
  const busy = status === "submitted" || status === "streaming";

  const edit = (message) => {
    const text = prompt("Edit the question", textOf(message));
    if (text) sendMessage({ text, messageId: message.id });
  };
  const stop = () => fetch(`${api}/${id}/stop`, { method: "POST" });

  return (
    <main data-status={status}>
      {messages.map((message) => (
        <Message key={message.id} message={message} onEdit={busy ? null : edit} />
      ))}
      {error && <p role="alert">{error.message}</p>}
      <Composer onSend={(text) => sendMessage({ text })} disabled={busy} />
      {busy ? <button onClick={stop}>Stop</button> : <button onClick={() => regenerate()}>Regenerate</button>}
    </main>
  );
}

export function Message({ message, onEdit }) {
  return (
    <article data-role={message.role} data-id={message.id}>
      {message.parts.map((part, index) => (
        <Part key={index} part={part} />
      ))}
      {message.role === "user" && onEdit && <button onClick={() => onEdit(message)}>Edit</button>}
    </article>
  );
}

function Part({ part }) {
  switch (part.type) {
    case "text":
      return <p style={{ whiteSpace: "pre-wrap" }}>{part.text}</p>;
    case "dynamic-tool":
      return (
        <code data-tool={part.state}>
          {part.toolName}({JSON.stringify(part.input)}) → {part.output ?? part.errorText ?? "…"}
        </code>
      );
    case "source-document":
      return (
        <small data-source={part.sourceId}>
          [{part.sourceId}] {part.title} ({part.filename})
        </small>
      );
    case "source-url":
      return (
        <a data-source={part.sourceId} href={part.url}>
          [{part.sourceId}] {part.title}
        </a>
      );
    default:
      return null; // Steps and what a later version may add.
  }
}

export function Composer({ onSend, disabled }) {
  const [text, setText] = useState("");
  const submit = (event) => {
    event.preventDefault();
    if (!text.trim() || disabled) return;
    onSend(text);
    setText("");
  };
  return (
    <form onSubmit={submit}>
      <input value={text} onChange={(event) => setText(event.target.value)} placeholder="Ask…" autoFocus />
      <button disabled={disabled}>Send</button>
    </form>
  );
}

function textOf(message) {
  return message.parts.map((part) => (part.type === "text" ? part.text : "")).join("");
}
