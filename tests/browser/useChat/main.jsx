// The page of the documentation, with what else the tests want of the packages.
import { Chat as SdkChat, useChat } from "@ai-sdk/react";
import { DefaultChatTransport, safeValidateUIMessages } from "ai";
import { createRoot } from "react-dom/client";
import App, { Composer, Message } from "./App.jsx";

// Nothing but what every page of the AI SDK's documentation does.
function Plain() {
  const [, id, token, api = "/api/chat"] = location.hash.split("|");
  const { messages, sendMessage, status, error } = useChat({
    id,
    resume: true,
    transport: new DefaultChatTransport({
      api,
      credentials: token ? "omit" : "include",
      headers: token ? { Authorization: `Bearer ${token}` } : {},
    }),
  });
  return (
    <main data-status={status}>
      {messages.map((message) => (
        <Message key={message.id} message={message} />
      ))}
      {error && <p role="alert">{error.message}</p>}
      <Composer onSend={(text) => sendMessage({ text })} disabled={status !== "ready" && status !== "error"} />
    </main>
  );
}

window.sdk = { Chat: SdkChat, DefaultChatTransport, safeValidateUIMessages };

createRoot(document.getElementById("root")).render(location.hash.startsWith("#plain|") ? <Plain /> : <App />);
