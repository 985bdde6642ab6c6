// Package agentclient holds the agent, and clients of it, to the conversations in
// test/vectors/agent: its tests replay each from Go, where every line is also held to the
// JSON Schema of docs/agent-protocol.md, and by a client in another language, client.mjs.
package agentclient
