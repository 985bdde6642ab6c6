package dynamostore

import (
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A save builds its two items by hand: through reflection that took as long as
// all else that a save adds to the request itself. Reading goes through
// attributevalue and writes what it read again (decode), so that an item that is
// built otherwise than its struct says is a damaged record to the first test
// that reads it.

func (w *wireHead) item() item {
	f := w.wireVersion.fields(&w.wireKey)
	f["epoch"], f["lease_id"] = num(w.Epoch), str(w.LeaseID)
	f.holder("holder", w.Holder)
	f.text("ns", w.NS)
	f.text("name", w.Name)
	return item(f)
}

func (w *wireCopy) item() item {
	f := w.wireVersion.fields(&w.wireKey)
	f.number("expires_at", w.ExpiresAt)
	f.text("label", w.Label)
	return item(f)
}

func (w *wireVersion) fields(key *wireKey) fields {
	f := make(fields, 24)
	f["pk"], f["sk"], f["fmt"] = str(key.PK), str(key.SK), num(key.Fmt)
	f["version"] = num(w.Version)
	f.text("commit_id", w.CommitID)
	f.number("commit_epoch", w.CommitEpoch)
	f.holder("by", w.By)
	f.number("saved_at", w.SavedAt)
	f.text("cursor", w.Cursor)
	f.texts("fin", w.Finished)
	f.number("processed", w.Processed)
	f.number("failed", w.Failed)
	f.text("last_error", w.LastError)
	f.bytes("state", w.State)
	f.text("body", w.Body)
	f.text("ct", w.ContentType)
	f.text("enc", w.Encoding)
	f.number("size", w.Size)
	f.bytes("sha", w.SHA256)
	f.text("ident", w.Identity)
	f.number("schema", w.Schema)
	f.text("ended", w.Ended)
	if w.Deleted {
		f["deleted"] = &types.AttributeValueMemberBOOL{Value: true}
	}
	f.number("restored_from", w.RestoredFrom)
	f.text("reason", w.Reason)
	f.number("born", w.Born)
	f.numbers("starts", w.Starts)
	f.number("archived_through", w.ArchivedThrough)
	return f
}

// fields is an item under construction. What equals its default stays absent.
type fields item

func (f fields) text(name, s string) {
	if s != "" {
		f[name] = str(s)
	}
}

func (f fields) number(name string, n int64) {
	if n != 0 {
		f[name] = num(n)
	}
}

func (f fields) bytes(name string, b []byte) {
	if b != nil {
		f[name] = &types.AttributeValueMemberB{Value: b}
	}
}

func (f fields) texts(name string, all []string) {
	if all == nil {
		return
	}
	list := make([]types.AttributeValue, len(all))
	for i, s := range all {
		list[i] = str(s)
	}
	f[name] = &types.AttributeValueMemberL{Value: list}
}

func (f fields) numbers(name string, all []int64) {
	if all == nil {
		return
	}
	list := make([]types.AttributeValue, len(all))
	for i, n := range all {
		list[i] = num(n)
	}
	f[name] = &types.AttributeValueMemberL{Value: list}
}

func (f fields) holder(name string, h *wireHolder) {
	if h == nil {
		return
	}
	m := make(fields, 8)
	m.text("id", h.ID)
	m.text("host", h.Host)
	m.number("pid", int64(h.PID))
	m.text("run", h.RunID)
	m.text("boot", h.Boot)
	m.text("pidns", h.PIDSpace)
	m.text("pidst", h.PIDStart)
	f[name] = &types.AttributeValueMemberM{Value: m}
}
