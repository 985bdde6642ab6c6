// Package statuspage shows the checkpoints of a store to people and to programs: a read-only page without a build
// step, and a JSON API beside it. `milepost serve` is a thin command over it; a program that has a server of its own
// mounts [Handler] there.
//
// The overview lists the checkpoints, the worst first, as `milepost status` does; each has a page with its history as charts, its versions
// and what changed between any two, its lease, runs, events and errors. /api/v1/openapi.json describes the API, whose
// JSON has the names that `milepost -o json` prints. /healthz says that the process lives, and /readyz that the store answers.
//
// Nothing here changes a store. What people wrote (names, cursors, errors, states) is shown inert: escaped, under a policy that runs no
// script but the page's own, and with what would turn or hide text made visible. States are shown only where [Options].ShowState says so.
package statuspage
