package broken

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// weave makes one program of many mutants, so that they need not be compiled one by one. Each
// function that a mutant edits is added next to the real function, which calls it if the process
// runs as that mutant. A mutant that edits more than function bodies is compiled alone.
func weave(t *testing.T, root string, all []*mutant) (files map[string]string, alone []*mutant) {
	t.Helper()
	sources := map[string]*source{}
	for i, m := range all {
		var broken []edited
		for file, text := range m.files(t, root) {
			if sources[file] == nil {
				real, err := os.ReadFile(file)
				require.NoError(t, err)
				sources[file] = parse(t, string(real))
			}
			functions, ok := sources[file].differing(parse(t, text))
			if !ok {
				broken = nil
				break
			}
			for _, f := range functions {
				broken = append(broken, edited{file, f})
			}
		}
		if broken == nil {
			alone = append(alone, m)
		}
		for _, b := range broken {
			sources[b.file].add(b.function, m.name, i)
		}
	}
	files = map[string]string{}
	for file, s := range sources {
		files[file] = s.woven()
		files[filepath.Join(filepath.Dir(file), "broken_by.go")] = fmt.Sprintf(
			"package %s\n\nimport \"os\"\n\nvar brokenBy = os.Getenv(%q)\n", s.pkg, chosen)
	}
	return files, alone
}

// source is a file, and what mutants add to it.
type source struct {
	text, pkg string
	functions map[string]function
	calls     map[string]string // of the broken functions, by the real one's key
	broken    strings.Builder   // the broken functions
}

// edited is a function of a file that a mutant has edited.
type edited struct {
	file     string
	function function
}

// function is a function of a source. The offsets are in the source's text.
type function struct {
	*ast.FuncDecl
	start, name, body, end int
	text                   string
}

// key is the same for a mutant's function and the real one.
func (f function) key() string { return f.text[:f.body-f.start] }

func parse(t *testing.T, text string) *source {
	t.Helper()
	files := token.NewFileSet()
	parsed, err := parser.ParseFile(files, "", text, parser.SkipObjectResolution)
	require.NoError(t, err, text)
	s := &source{text: text, pkg: parsed.Name.Name, functions: map[string]function{}, calls: map[string]string{}}
	at := func(p token.Pos) int { return files.Position(p).Offset }
	for _, d := range parsed.Decls {
		if decl, ok := d.(*ast.FuncDecl); ok {
			f := function{FuncDecl: decl, start: at(decl.Type.Func), name: at(decl.Name.End()), body: at(decl.Body.Lbrace) + 1, end: at(decl.End())}
			f.text = text[f.start:f.end]
			s.functions[f.key()] = f
		}
	}
	return s
}

// differing returns the functions of a mutant whose bodies differ from those of s. It returns false
// if anything else differs, or if a function's parameters cannot be passed on.
func (s *source) differing(mutant *source) (functions []function, ok bool) {
	if s.outside() != mutant.outside() {
		return nil, false
	}
	for key, f := range mutant.functions {
		if f.text == s.functions[key].text {
			continue
		}
		if _, named := arguments(f.FuncDecl); !named {
			return nil, false
		}
		functions = append(functions, f)
	}
	return functions, true
}

// outside returns the source without its function bodies.
func (s *source) outside() string {
	text := s.text
	for _, f := range s.functions {
		text = strings.Replace(text, f.text, f.key(), 1)
	}
	return text
}

// add adds the function of the i-th mutant, with the mutant's name, next to the real function.
func (s *source) add(f function, mutant string, i int) {
	name := fmt.Sprintf("%sBroken%d", f.Name.Name, i)
	head := f.text[:f.name-f.start]
	s.broken.WriteString("\n" + strings.TrimSuffix(head, f.Name.Name) + name + f.text[f.name-f.start:] + "\n")

	call, _ := arguments(f.FuncDecl)
	call = name + call
	if f.Recv != nil {
		call = f.Recv.List[0].Names[0].Name + "." + call
	}
	if f.Type.Results == nil {
		call += "; return"
	} else {
		call = "return " + call
	}
	s.calls[f.key()] += fmt.Sprintf(" if brokenBy == %q { %s };", mutant, call)
}

// woven returns the source with all functions of mutants. Line numbers do not change.
func (s *source) woven() string {
	text := s.text
	for key, calls := range s.calls {
		text = strings.Replace(text, key, key+calls, 1)
	}
	return text + s.broken.String()
}

// arguments returns code that passes a function's parameters on. It returns false if parameters or
// the receiver have no names.
func arguments(f *ast.FuncDecl) (list string, named bool) {
	if f.Recv != nil && (len(f.Recv.List[0].Names) == 0 || f.Recv.List[0].Names[0].Name == "_") {
		return "", false
	}
	var names []string
	for _, p := range f.Type.Params.List {
		if len(p.Names) == 0 {
			return "", false
		}
		for _, n := range p.Names {
			name := n.Name
			if name == "_" {
				return "", false
			}
			if _, variadic := p.Type.(*ast.Ellipsis); variadic {
				name += "..."
			}
			names = append(names, name)
		}
	}
	return "(" + strings.Join(names, ", ") + ")", true
}
