package main

import (
	"github.com/spf13/cobra"
)

// completeNames completes the first argument with the names of checkpoints.
func (a *app) completeNames(cmd *cobra.Command, args []string, prefix string) ([]string, cobra.ShellCompDirective) {
	const most = 100
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveDefault
	}
	s, err := a.open(cmd.Context(), mustExist)
	if err != nil {
		return nil, cobra.ShellCompDirectiveError
	}
	defer s.close()
	var names []string
	for name, err := range s.Names(cmd.Context(), a.namespace, prefix, "") {
		if err != nil || len(names) == most {
			break
		}
		names = append(names, name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
