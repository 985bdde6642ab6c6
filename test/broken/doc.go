// Package broken proves that the tests of the protocol notice broken code. Each mutant is the
// project's code, broken on purpose in one way. The subtest of the broken rule must fail on the
// mutant.
//
//	go test -run Broken -v ./test/broken
//
// A mutant is made with the go command's -overlay, so nothing is written to the tree. Mutants that
// only edit functions share one program; an environment variable selects the mutant, and without
// the variable the program is "not broken". The text that a mutant replaces must occur exactly once
// in its file. A mutant that no longer fits the code is an error, so the table stays up to date.
package broken
