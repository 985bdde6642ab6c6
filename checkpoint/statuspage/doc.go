// Package statuspage shows the checkpoints of a store to people and programs: a read-only page
// without a build step, and a JSON API. `milepost serve` is a thin command over it; a program that
// has a server mounts [Handler] there.
//
// The overview lists the checkpoints, the worst first, as `milepost status` does. Each checkpoint
// has a page with its history as charts, its versions and the changes between any two, its lease,
// runs, events and errors. /api/v1/openapi.json describes the API, whose JSON has the names that
// `milepost -o json` prints. /healthz says that the process lives, and /readyz that the store
// answers.
//
// Nothing here changes a store. Texts that people wrote (names, cursors, errors, states) are inert:
// the page escapes them, its policy runs no script except the page's own, and characters that would
// turn or hide text are made visible. States are shown only if [Options].ShowState says so.
package statuspage
