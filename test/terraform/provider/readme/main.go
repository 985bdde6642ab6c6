// Command readme writes what a module takes and gives into its README.md, between
// the lines that say so, out of the module itself.
//
//	go run ./readme ../../../terraform
package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-config-inspect/tfconfig"
)

const (
	begin = "<!-- begin: written by go test ./test/terraform -update -->\n"
	end   = "<!-- end -->\n"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: readme DIRECTORY")
	}
	if err := write(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func write(dir string) error {
	module, diagnostics := tfconfig.LoadModule(dir)
	if diagnostics.HasErrors() {
		return diagnostics.Err()
	}
	path := filepath.Join(dir, "README.md")
	readme, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := strings.Cut(string(readme), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return errors.New(path + ": the lines between which to write are missing")
	}
	return os.WriteFile(path, []byte(before+begin+tables(module)+end+after), 0o644)
}

func tables(m *tfconfig.Module) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## Needs\n\nTerraform %s", strings.Join(m.RequiredCore, ", "))
	for _, name := range slices.Sorted(maps.Keys(m.RequiredProviders)) {
		p := m.RequiredProviders[name]
		fmt.Fprintf(&b, "; provider `%s` %s", p.Source, strings.Join(p.VersionConstraints, ", "))
	}
	b.WriteString(".\n\n## Inputs\n\n| name | type | default | what it is |\n| --- | --- | --- | --- |\n")
	for _, v := range inOrder(m.Variables, func(v *tfconfig.Variable) tfconfig.SourcePos { return v.Pos }) {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s | %s |\n", v.Name, v.Type, preset(v), cell(v.Description))
	}
	b.WriteString("\n## Outputs\n\n| name | what it is |\n| --- | --- |\n")
	for _, o := range inOrder(m.Outputs, func(o *tfconfig.Output) tfconfig.SourcePos { return o.Pos }) {
		fmt.Fprintf(&b, "| `%s` | %s |\n", o.Name, cell(o.Description))
	}
	b.WriteString("\n## Makes\n\n| resource | in |\n| --- | --- |\n")
	for _, r := range inOrder(m.ManagedResources, func(r *tfconfig.Resource) tfconfig.SourcePos { return r.Pos }) {
		fmt.Fprintf(&b, "| `%s.%s` | %s |\n", r.Type, r.Name, filepath.Base(r.Pos.Filename))
	}
	b.WriteString("\n")
	return b.String()
}

// inOrder is what a module has in the order in which its files have it.
func inOrder[T any](all map[string]T, pos func(T) tfconfig.SourcePos) []T {
	return slices.SortedFunc(maps.Values(all), func(a, b T) int {
		return cmp.Or(cmp.Compare(pos(a).Filename, pos(b).Filename), cmp.Compare(pos(a).Line, pos(b).Line))
	})
}

func preset(v *tfconfig.Variable) string {
	if v.Required {
		return "required"
	}
	text, err := json.Marshal(v.Default)
	if err != nil {
		return "?"
	}
	return "`" + string(text) + "`"
}

func cell(text string) string { return strings.ReplaceAll(strings.TrimSpace(text), "|", `\|`) }
