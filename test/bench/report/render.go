package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"path"
	"strconv"
	"strings"
	"text/template"
)

//go:embed benchmarks.md.tmpl
var text string

// render makes the document. Its last part is output, which is also the source of every number.
func render(output string) ([]byte, error) {
	r := parse(output)
	document, err := template.New("benchmarks.md").Funcs(template.FuncMap{
		"setting": r.setting,
		"note":    func() string { return r.settings["note"] },
		"number":  r.number,
		"atMost":  r.atMost,
		"list":    func(all ...string) []string { return all },
	}).Parse(text)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if err := document.Execute(&b, strings.TrimSuffix(output, "\n")); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// results are the parsed output of benchmarks.
type results struct {
	settings map[string]string
	values   map[string]map[string]float64 // by package.benchmark, and by unit
}

func parse(output string) results {
	r := results{settings: make(map[string]string), values: make(map[string]map[string]float64)}
	pkg := ""
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if !strings.HasPrefix(line, "Benchmark") || len(fields) < 2 {
			if name, value, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
				r.settings[name] = value
				pkg = path.Base(r.settings["pkg"])
			}
			continue
		}
		name := strings.TrimPrefix(fields[0], "Benchmark")
		if dash := strings.LastIndexByte(name, '-'); dash >= 0 { // and GOMAXPROCS
			if _, err := strconv.Atoi(name[dash+1:]); err == nil {
				name = name[:dash]
			}
		}
		values := make(map[string]float64)
		for i := 2; i+1 < len(fields); i += 2 { // after the number of iterations
			if value, err := strconv.ParseFloat(fields[i], 64); err == nil {
				values[fields[i+1]] = value
			}
		}
		r.values[pkg+"."+name] = values
	}
	return r
}

func (r results) setting(name string) (string, error) {
	value, ok := r.settings[name]
	if !ok {
		return "", fmt.Errorf("the output does not say %s", name)
	}
	return value, nil
}

func (r results) value(benchmark, unit string) (float64, error) {
	value, ok := r.values[benchmark][unit]
	if !ok {
		return 0, fmt.Errorf("the output has no %s of %s", unit, benchmark)
	}
	return value, nil
}

func (r results) number(benchmark, unit, format string) (string, error) {
	value, err := r.value(benchmark, unit)
	return fmt.Sprintf(format, value), err
}

// atMost returns two cells: the bar and the measured value, in bold if it misses the bar.
func (r results) atMost(bar float64, benchmark, unit, format string) (string, error) {
	value, err := r.value(benchmark, unit)
	if err != nil {
		return "", err
	}
	measured := fmt.Sprintf(format, value)
	if shown, err := strconv.ParseFloat(measured, 64); err == nil {
		value = shown // compare the rounded value that the reader sees
	}
	if value > bar {
		measured = "**" + measured + ", missed**"
	}
	return fmt.Sprintf("≤ %v | %s", bar, measured), nil
}
