package dynamostore

import (
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Records are read by hand as well: through reflection, and written again by it
// (decode), that was half of what a look at 10,000 checkpoints took beside the
// requests. A value of another type reads as if it were missing, and a number
// that is not whole as 0: what is then written again is not what was read.

func (w *wireHead) read(f fields) {
	w.wireKey.read(f)
	w.wireVersion.read(f)
	w.Epoch, w.LeaseID, w.Holder = f.numberOf("epoch"), text(f["lease_id"]), f.holderOf("holder")
	w.NS, w.Name = text(f["ns"]), text(f["name"])
}

func (w *wireCopy) read(f fields) {
	w.wireKey.read(f)
	w.wireVersion.read(f)
	w.ExpiresAt, w.Label = f.numberOf("expires_at"), text(f["label"])
}

func (w *wireLease) read(f fields) {
	w.wireKey.read(f)
	w.Epoch, w.LeaseID, w.Beat, w.Status = f.numberOf("epoch"), text(f["lease_id"]), f.numberOf("beat"), text(f["status"])
	w.DurationMS, w.Holder = f.numberOf("duration_ms"), f.holderOf("holder")
	w.UntilMS, w.UntilBoot, w.UntilUpMS = f.numberOf("until_ms"), text(f["until_boot"]), f.numberOf("until_up_ms")
	w.AcquiredAt, w.RenewedAt, w.Reason = f.numberOf("acquired_at"), f.numberOf("renewed_at"), text(f["reason"])
	w.WantedBy, w.WantedN, w.Version = text(f["wanted_by"]), f.numberOf("wanted_n"), f.numberOf("version")
}

func (w *wireExpect) read(f fields) {
	w.wireKey.read(f)
	w.NS, w.Name = text(f["ns"]), text(f["name"])
	w.EveryMS, w.GraceMS = f.numberOf("every_ms"), f.numberOf("grace_ms")
	w.SetBy, w.SetAt = text(f["set_by"]), f.numberOf("set_at")
}

func (w *wireKey) read(f fields) {
	w.PK, w.SK, w.Fmt = text(f["pk"]), text(f["sk"]), f.numberOf("fmt")
}

func (w *wireVersion) read(f fields) {
	w.Version, w.CommitID, w.CommitEpoch = f.numberOf("version"), text(f["commit_id"]), f.numberOf("commit_epoch")
	w.By, w.SavedAt = f.holderOf("by"), f.numberOf("saved_at")
	w.Cursor, w.Finished = text(f["cursor"]), listOf(f, "fin", text)
	w.Processed, w.Failed, w.LastError = f.numberOf("processed"), f.numberOf("failed"), text(f["last_error"])
	w.State, w.Body = f.bytesOf("state"), text(f["body"])
	w.ContentType, w.Encoding, w.Size, w.SHA256 = text(f["ct"]), text(f["enc"]), f.numberOf("size"), f.bytesOf("sha")
	w.Identity, w.Schema = text(f["ident"]), f.numberOf("schema")
	deleted, _ := f["deleted"].(*types.AttributeValueMemberBOOL)
	w.Ended, w.Deleted = text(f["ended"]), deleted != nil && deleted.Value
	w.RestoredFrom, w.Reason = f.numberOf("restored_from"), text(f["reason"])
	w.Born, w.Starts = f.numberOf("born"), listOf(f, "starts", number)
	w.ArchivedThrough = f.numberOf("archived_through")
}

// number is a whole number's value, and 0 for anything else.
func number(v types.AttributeValue) int64 {
	n, _ := v.(*types.AttributeValueMemberN)
	if n == nil {
		return 0
	}
	i, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		return 0
	}
	return i
}

func (f fields) numberOf(name string) int64 { return number(f[name]) }

func (f fields) bytesOf(name string) []byte {
	b, _ := f[name].(*types.AttributeValueMemberB)
	switch {
	case b == nil:
		return nil
	case b.Value == nil:
		return []byte{}
	}
	return b.Value
}

func listOf[T any](f fields, name string, of func(types.AttributeValue) T) []T {
	list, _ := f[name].(*types.AttributeValueMemberL)
	if list == nil {
		return nil
	}
	all := make([]T, len(list.Value))
	for i, v := range list.Value {
		all[i] = of(v)
	}
	return all
}

func (f fields) holderOf(name string) *wireHolder {
	m, _ := f[name].(*types.AttributeValueMemberM)
	if m == nil {
		return nil
	}
	h := fields(m.Value)
	return &wireHolder{
		ID: text(h["id"]), Host: text(h["host"]), PID: int(h.numberOf("pid")), RunID: text(h["run"]),
		Boot: text(h["boot"]), PIDSpace: text(h["pidns"]), PIDStart: text(h["pidst"]),
	}
}
