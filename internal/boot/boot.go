// Package boot says which boot of which machine this process runs in, and for how long that boot
// has run.
package boot

import (
	"os"
	"strings"
)

// ID returns an id that no other boot of this machine and no other machine has. It returns "" where
// the system does not say, and on AWS Lambda, whose machines can be copies of one memory snapshot
// and then share their boot id.
func ID() string {
	if OnLambda(os.Getenv) {
		return ""
	}
	return id()
}

// OnLambda reports whether this process, whose environment getenv reads, runs on AWS Lambda.
func OnLambda(getenv func(string) string) bool {
	return getenv("AWS_LAMBDA_FUNCTION_NAME") != "" || strings.HasPrefix(getenv("AWS_EXECUTION_ENV"), "AWS_Lambda")
}
