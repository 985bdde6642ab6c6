// Package agentclient tests that the agent and its clients follow the conversations in
// test/vectors/agent. Its tests replay each conversation from Go, which also validates every line
// against the JSON Schema of docs/agent-protocol.md, and from a client in another language,
// client.mjs.
package agentclient
