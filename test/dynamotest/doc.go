// Package dynamotest gives tests a DynamoDB endpoint and a table of their own.
//
//	func TestSave(t *testing.T) {
//		client, table := dynamotest.Client(t), dynamotest.Table(t)
//		...
//	}
//
// The endpoint is the first of these that is there:
//
//  1. What MILEPOST_TEST_DYNAMODB names: an endpoint's URL (DynamoDB Local,
//     LocalStack, a regional endpoint of AWS), or "aws" for AWS itself with the
//     credentials and region that the AWS SDK finds.
//  2. DynamoDB Local, run by java, if DYNAMODB_LOCAL_HOME is the directory that
//     holds DynamoDBLocal.jar. It is under its vendor's licence: bring your own.
//  3. dynoxide 1.2.1, pinned by checksum, from PATH, from Milepost's cache
//     (MILEPOST_CACHE, else "milepost" in the user's cache directory), or from
//     the npm registry by npm into that cache.
//
// Where none is to be had the test fails and says what to install. It is never
// skipped. What is named by a variable and does not work is an error, too:
// nothing else is tried in its place.
//
// A server of ours starts with the first test that asks, once for each test
// process, listens on loopback only, keeps everything in memory, and dies with
// the process however that ends. To share one among the processes of a whole
// run, start them under the serve command:
//
//	go run ./test/dynamotest/serve go test ./...
package dynamotest
