// Package processtest watches processes that a test's command has started. The command writes their
// process ids to a file. It is for Unix.
package processtest
