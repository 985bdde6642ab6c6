package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/milepost-dev/milepost/internal/kinds"
	"github.com/milepost-dev/milepost/store/dynamostore"
)

func (a *app) tableCommand() *cobra.Command {
	table := &cobra.Command{
		Use: "table", Short: "Make the store's table",
		Args: exactly(),
		RunE: func(*cobra.Command, []string) error {
			return kinds.Usagef("a command is missing: milepost table create")
		},
	}
	var options dynamostore.CreateOptions
	create := &cobra.Command{
		Use:   "create",
		Short: "Make the store's table, or finish making it",
		Long: `Create makes the DynamoDB table: keys, index, expiry, on-demand capacity, deletion
protection, and point-in-time recovery if the endpoint has it. It does not change a table
that exists, except to turn on expiry and recovery. For SQLite it makes the file, or the
tables in a file that is empty.`,
		Example: `  milepost table create --store 'dynamodb://milepost?region=eu-west-1'`,
		Args:    exactly(),
		RunE: a.with(mayCreate|takesEmpty, func(ctx context.Context, s *openStore, _ []string) error {
			if s.dynamo != nil {
				if err := dynamostore.CreateTable(ctx, s.client, s.url.Table, &options); err != nil {
					return err
				}
			}
			if a.output == "json" {
				return a.printJSON(map[string]string{"store": s.url.String(), "status": "ready"})
			}
			_, err := fmt.Fprintf(a.stdout, "%s is ready\n", s.url)
			return err
		}),
	}
	create.Flags().BoolVar(&options.NoDeletionProtection, "no-deletion-protection", false, "do not protect the table against deletion by mistake")
	create.Flags().BoolVar(&options.NoPointInTimeRecovery, "no-point-in-time-recovery", false, "have no point-in-time recovery, which costs money")
	table.AddCommand(create)
	return table
}
