package dynamostore_test

import (
	"context"
	"fmt"
	"log"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/milepost-dev/milepost/store/dynamostore"
)

func ExampleNew() {
	ctx := context.Background()
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		log.Fatal(err)
	}
	client := dynamodb.NewFromConfig(cfg)

	// Once, by whoever owns the table.
	if err := dynamostore.CreateTable(ctx, client, "milepost", nil); err != nil {
		log.Fatal(err)
	}
	s := dynamostore.New(client, "milepost")
	findings, err := s.Check(ctx)
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range findings {
		fmt.Println(f)
	}
}

// The caller's own items, saved together with a checkpoint or not at all.
func ExamplePut() {
	plain := dynamostore.Put("sales", map[string]types.AttributeValue{
		"id":     &types.AttributeValueMemberS{Value: "ord-88123"},
		"amount": &types.AttributeValueMemberN{Value: "12"},
	})
	onlyNew := dynamostore.PutIf(types.Put{
		TableName:           aws.String("sales"),
		Item:                map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: "ord-88124"}},
		ConditionExpression: aws.String("attribute_not_exists(id)"),
	})
	fmt.Printf("%T, %T\n", plain, onlyNew) // both go to a session's SaveStep
	// Output: types.TransactWriteItem, types.TransactWriteItem
}
