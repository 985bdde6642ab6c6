// Package s3test gives tests an S3 endpoint and a place of their own in a bucket.
//
//	func TestMirror(t *testing.T) {
//		client := s3test.Client(t)
//		bucket, prefix := s3test.Place(t)
//		...
//	}
//
// The endpoint is the first of these that is there:
//
//  1. What MILEPOST_TEST_S3 names: an endpoint's URL, or "aws" for AWS itself,
//     with the credentials and region that the AWS SDK finds. The tests use the
//     bucket that MILEPOST_TEST_S3_BUCKET names, or make one and remove it.
//  2. versitygw 1.8.0 over a temporary directory, from Milepost's cache
//     (MILEPOST_CACHE, else "milepost" in the user's cache directory), or built
//     into that cache by the go command, from the module that versitygw.mod and
//     versitygw.sum describe. The first build on a machine takes some minutes.
//
// Where none is to be had the test fails and says what to install. It is never
// skipped. What is named by a variable and does not work is an error, too:
// nothing else is tried in its place.
//
// A server of ours starts with the first test that asks, once for each test
// process, listens on loopback only, and dies with the process however that
// ends; its directory goes with it.
package s3test
