// Package dynamotest gives each test a DynamoDB endpoint and a separate table.
//
//	func TestSave(t *testing.T) {
//		client, table := dynamotest.Client(t), dynamotest.Table(t)
//		...
//	}
//
// The endpoint is the first of these that exists:
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
// If there is none, the test fails and says what to install. It is never skipped. An endpoint that
// a variable names and that does not work is an error too: nothing else is tried.
//
// The first test that asks starts the server, once for each test process. The server listens on
// loopback only, keeps everything in memory, and dies with the process however the process ends. To
// share one server among the processes of a run, start them under the serve command:
//
//	go run ./test/dynamotest/serve go test ./...
package dynamotest
