package agent

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"

	"github.com/milepost-dev/milepost/internal/kinds"
)

// Client is a conversation of a process with the milepost run that started it. It makes one request
// at a time.
type Client struct {
	conn    net.Conn
	replies *bufio.Reader
	session int64
}

// Dial begins a conversation over the socket at path.
func Dial(path string) (*Client, error) {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return nil, fmt.Errorf("reach the milepost run that started this command: %w", err)
	}
	c := &Client{conn: conn, replies: bufio.NewReader(conn)}
	reply, err := c.ask(toJSON(map[string]any{"id": 0, "method": "hello", "protocol": Protocol, "client": "milepost"}))
	var hello struct{ Session int64 }
	if err == nil {
		err = json.Unmarshal(reply, &hello)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	c.session = hello.Session
	return c, nil
}

// Close ends the conversation.
func (c *Client) Close() { _ = c.conn.Close() }

// Progress is what a process reports of its progress. A nil field is not sent.
type Progress struct {
	Cursor            *string
	Processed, Failed *int64
	State             []byte // as JSON
}

func (c *Client) request(method string, id int, p Progress) []byte {
	fields := map[string]any{"method": method, "session": c.session}
	if id > 0 {
		fields["id"] = id
	}
	if p.Cursor != nil {
		fields["cursor"] = *p.Cursor
	}
	if p.Processed != nil {
		fields["processed"] = *p.Processed
	}
	if p.Failed != nil {
		fields["failed"] = *p.Failed
	}
	return withState(toJSON(fields), p.State, "")
}

// Mark reports how far the job is. It returns when the report has arrived. If the session has
// ended, the error has the kind of the reason.
func (c *Client) Mark(p Progress) error {
	if err := c.send(c.request("mark", 0, p)); err != nil {
		return err
	}
	// A mark has no reply. This reply says that the mark arrived, and whether it still counts.
	reply, err := c.ask(c.request("info", 1, Progress{}))
	if err != nil {
		return err
	}
	var info struct{ Ended *kinds.ErrorJSON }
	if err := json.Unmarshal(reply, &info); err != nil {
		return err
	}
	if info.Ended != nil {
		return &toldError{*info.Ended}
	}
	return nil
}

// Save saves what was marked and p, and returns the result as JSON when it is durable.
func (c *Client) Save(p Progress) (json.RawMessage, error) { return c.ask(c.request("save", 1, p)) }

// State returns the result that has the job's cursor and state, as last marked.
func (c *Client) State() (json.RawMessage, error) { return c.ask(c.request("state", 1, Progress{})) }

func (c *Client) send(line []byte) error {
	_, err := c.conn.Write(append(line, '\n'))
	return err
}

// ask sends a request and returns its result. An error about an earlier line is an error of ask as
// well.
func (c *Client) ask(line []byte) (json.RawMessage, error) {
	if err := c.send(line); err != nil {
		return nil, err
	}
	for {
		line, err := c.replies.ReadBytes('\n')
		if err != nil {
			return nil, fmt.Errorf("the milepost run that started this command has ended: %w", err)
		}
		var reply struct {
			Event  string
			Error  *kinds.ErrorJSON
			Result json.RawMessage
		}
		switch err := json.Unmarshal(line, &reply); {
		case err != nil:
			return nil, fmt.Errorf("the milepost run that started this command answered %.100q: %w", line, err)
		case reply.Event != "":
		case reply.Error != nil:
			return nil, &toldError{*reply.Error}
		default:
			return reply.Result, nil
		}
	}
}

// toldError is an error that the agent reported. It has the same kind here.
type toldError struct{ kinds.ErrorJSON }

func (e *toldError) Error() string { return e.ErrorJSON.Error }

func (e *toldError) Is(target error) bool {
	return kinds.Named(e.Kind).Is(target)
}
