// Package s3test gives each test an S3 endpoint and a separate place in a bucket.
//
//	func TestMirror(t *testing.T) {
//		client := s3test.Client(t)
//		bucket, prefix := s3test.Place(t)
//		...
//	}
//
// The endpoint is the first of these that exists:
//
//  1. What MILEPOST_TEST_S3 names: an endpoint's URL, or "aws" for AWS itself,
//     with the credentials and region that the AWS SDK finds. The tests use the
//     bucket that MILEPOST_TEST_S3_BUCKET names, or make one and remove it.
//  2. versitygw 1.8.0 over a temporary directory, from Milepost's cache
//     (MILEPOST_CACHE, else "milepost" in the user's cache directory), or built
//     into that cache by the go command, from the module that versitygw.mod and
//     versitygw.sum describe. The first build on a machine takes some minutes.
//
// If there is none, the test fails and says what to install. It is never skipped. An endpoint that
// a variable names and that does not work is an error too: nothing else is tried.
//
// The first test that asks starts the server, once for each test process. The server listens on
// loopback only. It and its directory go when the process ends, however it ends.
package s3test
