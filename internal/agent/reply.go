package agent

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/internal/kinds"
)

// toJSON returns v as one line of JSON. All values that are sent can be encoded.
func toJSON(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// replyLine is the reply to a request. result is an object as JSON.
func replyLine(id, result []byte, err error) []byte {
	if id == nil {
		id = []byte("null")
	}
	what := `,"result":`
	if err != nil {
		what, result = `,"error":`, toJSON(toErrorJSON(err))
	}
	line := make([]byte, 0, len(id)+len(result)+20)
	line = append(append(line, `{"id":`...), id...)
	return append(append(append(line, what...), result...), '}')
}

// withState adds a state to an object. It keeps the state's bytes if a line can hold them.
func withState(object []byte, state []byte, contentType string) []byte {
	if state == nil {
		return object
	}
	object = object[:len(object)-1]
	if len(object) > 1 {
		object = append(object, ',')
	}
	isJSON := contentType == "" || contentType == Codec{}.ContentType()
	if isJSON {
		state = bytes.TrimSpace(state)
	}
	if isJSON && !bytes.ContainsAny(state, "\r\n") && json.Valid(state) {
		object = append(append(object, `"state":`...), state...)
	} else {
		object = append(object, `"state_base64":"`...)
		object = append(base64.StdEncoding.AppendEncode(object, state), '"')
		if !isJSON {
			object = append(append(object, `,"content_type":`...), toJSON(contentType)...)
		}
	}
	return append(object, '}')
}

// checkpointObject returns cp as milepost get -o json prints it, except for the state.
func checkpointObject(cp *checkpoint.Checkpoint, state bool) []byte {
	bare := *cp
	bare.State, bare.ContentType = nil, ""
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(toJSON(bare), &fields); err != nil {
		panic(err)
	}
	delete(fields, "state")
	object := toJSON(fields)
	if !state {
		return object
	}
	return withState(object, cp.State, cp.ContentType)
}

// toErrorJSON returns err as the agent answers with it.
func toErrorJSON(err error) *kinds.ErrorJSON {
	e := kinds.ToErrorJSON(err)
	if line, ok := errors.AsType[*lineError](err); ok {
		e.Line = line.Line
	}
	if protocol, ok := errors.AsType[*protocolError](err); ok {
		e.Protocols = protocol.Speaks
	}
	return &e
}

// lineError says that a line cannot be answered by an id.
type lineError struct {
	Line int64
	Err  error
}

func (e *lineError) Error() string   { return e.Err.Error() }
func (e *lineError) Unwrap() []error { return []error{kinds.ErrUsage, e.Err} }

// protocolError says which protocols a hello may ask for.
type protocolError struct {
	Asked  int64
	Speaks []int64
}

func (e *protocolError) Error() string {
	return fmt.Sprintf("the client speaks protocol %d, and this binary %v: install releases of the two that belong together", e.Asked, e.Speaks)
}

func (e *protocolError) Unwrap() error { return kinds.ErrUsage }
