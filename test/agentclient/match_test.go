package agentclient

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// match compares got with a pattern. It stores the values that the pattern names in set.
func match(pattern, got any, set map[string]any) error {
	switch p := pattern.(type) {
	case map[string]any:
		object, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("want an object, got %v", got)
		}
		for name, want := range p {
			value, there := object[name]
			if want == "$absent" {
				if there {
					return fmt.Errorf("%s: want no field of this name, got %v", name, value)
				}
				continue
			}
			if !there {
				return fmt.Errorf("%s: no such field", name)
			}
			if err := match(want, value, set); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	case []any:
		array, ok := got.([]any)
		if !ok || len(array) != len(p) {
			return fmt.Errorf("want %d elements, got %v", len(p), got)
		}
		for i := range p {
			if err := match(p[i], array[i], set); err != nil {
				return fmt.Errorf("[%d]: %w", i, err)
			}
		}
		return nil
	case string:
		if name, ok := strings.CutPrefix(p, "$"); ok {
			return matchNamed(name, got, set)
		}
	}
	if !reflect.DeepEqual(pattern, got) {
		return fmt.Errorf("want %v, got %v", pattern, got)
	}
	return nil
}

func matchNamed(name string, got any, set map[string]any) error {
	ok := true
	switch name {
	case "any":
	case "int":
		number, isNumber := got.(json.Number)
		_, err := number.Int64()
		ok = isNumber && err == nil
	case "string":
		text, isText := got.(string)
		ok = isText && text != ""
	case "time":
		text, _ := got.(string)
		_, err := time.Parse(time.RFC3339Nano, text)
		ok = err == nil
	default:
		if as, setting := strings.CutPrefix(name, "set "); setting {
			set[as] = got
			return nil
		}
		want, known := set[name]
		ok = known && reflect.DeepEqual(want, got)
	}
	if !ok {
		return fmt.Errorf("want $%s, got %v", name, got)
	}
	return nil
}

func TestAPatternMatchesOnlyWhatItDescribes(t *testing.T) {
	for _, c := range []struct {
		pattern, value string
		want           bool
	}{
		{`{"a":1}`, `{"a":1,"b":2}`, true},
		{`{"a":1}`, `{"a":1.0}`, false},
		{`{"a":1}`, `{"b":1}`, false},
		{`{"a":"$absent"}`, `{"b":1}`, true},
		{`{"a":"$absent"}`, `{"a":null}`, false},
		{`["$int","$any"]`, `[7,{}]`, true},
		{`["$int"]`, `[7,8]`, false},
		{`"$int"`, `"7"`, false},
		{`"$string"`, `""`, false},
		{`"$time"`, `"2026-11-24T02:00:00.5Z"`, true},
		{`"$time"`, `"yesterday"`, false},
		{`["$set x","$x"]`, `[1,1]`, true},
		{`["$set x","$x"]`, `[1,2]`, false},
		{`"$unset"`, `1`, false},
		{`null`, `null`, true},
		{`null`, `0`, false},
	} {
		var pattern, value any
		decode(t, []byte(c.pattern), &pattern)
		decode(t, []byte(c.value), &value)
		err := match(pattern, value, map[string]any{})
		assert.Equal(t, c.want, err == nil, "pattern %s, value %s: %v", c.pattern, c.value, err)
	}
}
