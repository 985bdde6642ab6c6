// Package broken proves that the tests of the protocol would notice: each mutant
// here is the project's own code, broken on purpose in one way, and the subtest
// named for the rule that it breaks must fail on it.
//
//	go test -run Broken -v ./test/broken
//
// A mutant is made with the go command's -overlay, so nothing is written into the
// tree. Those that edit nothing but functions share one program, which the
// environment tells whom to be; "not broken" is the same program, told nothing.
// The text that a mutant replaces must occur exactly once in its file: one that no
// longer fits the code is an error, so that the list keeps up with it.
package broken
