package dynamostore_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/storetest"
)

// What is in the table, seen past the engine.

func rawKey(key store.Key, sk string) map[string]types.AttributeValue {
	return map[string]types.AttributeValue{"pk": text(key.Namespace + "#" + key.Name), "sk": text(sk)}
}

func sortKey(r storetest.Record) string {
	if r.Kind == "V#" {
		return fmt.Sprintf("V#%020d", r.Version)
	}
	return r.Kind
}

func raw(t testing.TB, client *dynamodb.Client, table string, key store.Key, sk string) map[string]types.AttributeValue {
	t.Helper()
	out, err := client.GetItem(t.Context(), &dynamodb.GetItemInput{
		TableName: &table, Key: rawKey(key, sk), ConsistentRead: aws.Bool(true),
	})
	require.NoError(t, err)
	return out.Item
}
