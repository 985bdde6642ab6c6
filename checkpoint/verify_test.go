package checkpoint_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/milepost-dev/milepost/checkpoint"
	"github.com/milepost-dev/milepost/store"
	"github.com/milepost-dev/milepost/store/archive"
)

func objectOf(t testing.TB, a archive.Archive, version int64) string {
	t.Helper()
	for listed, err := range archive.VersionsFrom(t.Context(), a, key, version) {
		require.NoError(t, err)
		require.Equal(t, version, listed.ID.Version)
		return listed.Object.Key
	}
	require.FailNow(t, "no such object")
	return ""
}

func TestVerifyFindsWhatIsWrongAndNothingElse(t *testing.T) {
	type found = checkpoint.Finding
	for what, c := range map[string]struct {
		spoil  func(r *rig, a *memory)
		want   found
		mended bool // by a sync
	}{
		"a flipped byte in an object": {
			func(r *rig, a *memory) { a.change(r, objectOf(r, a, 3), flipped) },
			found{Kind: checkpoint.FindingDamaged, Object: "object", First: 3, Last: 3}, false,
		},
		"a flipped byte in a body": {
			func(r *rig, a *memory) { a.change(r, r.copy(2).State.Body, flipped) },
			found{Kind: checkpoint.FindingDamaged, Object: "body", First: 2, Last: 2}, false,
		},
		"a truncated body": {
			func(r *rig, a *memory) {
				a.change(r, r.copy(2).State.Body, func(data []byte) []byte { return data[:len(data)-1] })
			},
			found{Kind: checkpoint.FindingDamaged, Object: "body", First: 2, Last: 2}, false,
		},
		"a missing body": {
			func(r *rig, a *memory) { a.change(r, r.copy(2).State.Body, gone) },
			found{Kind: checkpoint.FindingBodyMissing, Object: "body", First: 2, Last: 2}, false,
		},
		"a missing object": {
			func(r *rig, a *memory) { a.change(r, objectOf(r, a, 3), gone) },
			found{Kind: checkpoint.FindingMissing, Object: "object", First: 3, Last: 3}, true,
		},
		"a foreign object in the mirror": {
			func(_ *rig, a *memory) { a.put(mirrorOf+"00000000000000000003.json", nil) },
			found{Kind: checkpoint.FindingForeign, Object: mirrorOf + "00000000000000000003.json"}, false,
		},
		"a foreign object among the bodies": {
			func(_ *rig, a *memory) { a.put(bodiesOf+"03-C", nil) },
			found{Kind: checkpoint.FindingForeign, Object: bodiesOf + "03-C"}, false,
		},
		"a gap": {
			func(r *rig, a *memory) {
				for v := int64(3); v <= 4; v++ {
					a.change(r, objectOf(r, a, v), gone)
					r.expire(v, v)
				}
			},
			found{Kind: checkpoint.FindingGap, First: 3, Last: 4}, false,
		},
		"latest.json behind": {
			func(r *rig, a *memory) {
				older := a.objects[objectOf(r, a, 4)]
				a.change(r, mirrorOf+"latest.json", func([]byte) []byte { return older })
			},
			found{Kind: checkpoint.FindingLatestBehind, Object: mirrorOf + "latest.json", First: 4, Last: 4}, true,
		},
		"latest.json missing": {
			func(r *rig, a *memory) { a.change(r, mirrorOf+"latest.json", gone) },
			found{Kind: checkpoint.FindingLatestBehind, Object: mirrorOf + "latest.json", First: 6, Last: 6}, true,
		},
		"latest.json damaged": {
			func(r *rig, a *memory) { a.change(r, mirrorOf+"latest.json", flipped) },
			found{Kind: checkpoint.FindingDamaged, Object: mirrorOf + "latest.json"}, true,
		},
		"latest.json ahead": {
			func(r *rig, a *memory) {
				h := r.head().Version
				h.Number, h.CommitID = 7, "AHEAD"
				h.State = nil
				data, err := archive.Encode(&archive.Mirrored{Key: key, Version: h})
				require.NoError(r, err)
				a.change(r, mirrorOf+"latest.json", func([]byte) []byte { return data })
			},
			found{Kind: checkpoint.FindingLatestAhead, Object: mirrorOf + "latest.json", First: 7, Last: 7}, false,
		},
		"another version than the store's": {
			func(r *rig, a *memory) {
				id := archive.ID{Version: 3, Epoch: 1, CommitID: "OTHER"}
				v := r.copy(3).Version
				v.CommitID = id.CommitID
				_, err := archive.PutVersion(r.Context(), a, &archive.Mirrored{Key: key, Version: v})
				require.NoError(r, err)
			},
			found{Kind: checkpoint.FindingDiffers, First: 3, Last: 3}, false,
		},
		"another content than the store's": {
			func(r *rig, a *memory) {
				c := r.copy(3)
				c.Cursor = "tampered"
				object := objectOf(r, a, 3)
				data, err := archive.Encode(&archive.Mirrored{Key: key, Version: c.Version})
				require.NoError(r, err)
				a.change(r, object, func([]byte) []byte { return data })
			},
			found{Kind: checkpoint.FindingDiffers, Object: "object", First: 3, Last: 3}, false,
		},
		"a table that is behind": {
			func(r *rig, _ *memory) {
				old := r.copy(4)
				r.expire(5, 6)
				r.lose()
				r.put(old.Version)
			},
			found{Kind: checkpoint.FindingAhead, First: 6, Last: 6}, false,
		},
	} {
		t.Run(what, func(t *testing.T) {
			over(t, func(r *rig) {
				a := newMemory()
				r.minutes(a, 6)
				all, err := both(r.inner, a).Verify(r.Context(), name, nil)
				require.NoError(r, err)
				require.Empty(r, all.Findings)
				require.Equal(r, int64(7), all.Objects)
				require.Equal(r, int64(2), all.Bodies)
				object, body := objectOf(r, a, 3), r.copy(2).State.Body
				c.spoil(r, a)

				all, err = both(r.inner, a).Verify(r.Context(), name, nil)
				require.NoError(r, err)
				kinds := r.findings(a, nil)
				require.Contains(r, kinds, c.want.Kind)
				for _, f := range all.Findings {
					if f.Kind != c.want.Kind {
						assert.Equal(r, "a table that is behind", what, "%v", f)
						continue
					}
					assert.NotEmpty(r, f.Detail)
					assert.Equal(r, c.want.First, f.First)
					assert.Equal(r, c.want.Last, f.Last)
					switch c.want.Object {
					case "object":
						assert.Equal(r, object, f.Object)
					case "body":
						assert.Equal(r, body, f.Object)
					case "":
					default:
						assert.Equal(r, c.want.Object, f.Object)
					}
				}
				if c.mended {
					_, err := both(r.inner, a).Sync(r.Context(), name, nil)
					require.NoError(r, err)
					assert.Empty(r, r.findings(a, nil))
				}
			})
		})
	}
}

// put makes a table hold that version, as a backup does.
func (r *rig) put(v store.Version) {
	r.Helper()
	fence := store.Fence{Epoch: v.CommitEpoch, LeaseID: "restored"}
	_, _, err := r.inner.Raise(r.Context(), key, fence, v.By, true)
	require.NoError(r, err)
	_, err = r.inner.Commit(r.Context(), key, store.Commit{Fence: fence, Next: v})
	require.NoError(r, err)
	require.NoError(r, r.inner.Copy(r.Context(), key, store.Copy{Version: v}))
}

func TestVerifyOfNothingIsNotFound(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		_, err := both(r.inner, a).Verify(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrNotFound)
		_, err = both(r.inner, a).Sync(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrNotFound)
		r.minutes(a, 3)
		a.on(down)
		_, err = both(r.inner, a).Verify(r.Context(), name, nil)
		require.ErrorIs(r, err, store.ErrUnavailable)
		a.on(nil)
		r.lose()
		assert.Equal(r, []checkpoint.FindingKind{checkpoint.FindingAhead}, r.findings(a, nil))
	})
}

func TestVerifyOfAJobThatRunsFindsNothing(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 5)
		s := r.bigger(a, nil)
		watched := &met{memory: a, meeting: func() { // before each request of verify's the job goes on
			assert.NoError(r, s.Save(r.Context(), "x", big{Text: noise(9000)}))
			time.Sleep(time.Second)
		}}
		for range 3 {
			assert.Empty(r, r.findings(watched, nil))
		}
		r.closed(s)
	})
}

func TestSyncMirrorsWhatAnyoneHasLeftAndPlansFirst(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(nil, 70, nil)
		r.expire(10, 12)
		plan, err := both(r.inner, a).Sync(r.Context(), name, &checkpoint.UpkeepOptions{DryRun: true})
		require.NoError(r, err)
		assert.Equal(r, &checkpoint.SyncResult{
			Mirrored: 67, Gaps: []archive.Gap{{First: 10, Last: 12}}, Moved: true,
		}, plan)
		assert.Empty(r, a.keys(""))
		var last, total int64
		done, err := both(r.inner, a).Sync(r.Context(), name, &checkpoint.UpkeepOptions{
			Progress: func(n, of int64) { require.Greater(r, n, last); last, total = n, of },
		})
		require.NoError(r, err)
		assert.Equal(r, plan, done)
		assert.Equal(r, int64(70), last)
		assert.Equal(r, int64(70), total)
		assert.Len(r, mirrored(r, a), 67)
		assert.Equal(r, int64(70), latest(r, a))
		again, err := both(r.inner, a).Sync(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, int64(67), again.Present)
		assert.Zero(r, again.Mirrored)
		assert.False(r, again.Moved)
	})
}

func TestVerifyTellsAVersionThatWasSkippedFromOneThatWaits(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.saves(nil, 5, nil) // so that archived_through says nothing
		time.Sleep(time.Hour)
		found, err := both(r.inner, a).Verify(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Empty(r, found.Findings)
		assert.Equal(r, int64(5), found.Waiting)

		_, err = both(r.inner, a).Sync(r.Context(), name, nil)
		require.NoError(r, err)
		require.Zero(r, r.head().ArchivedThrough)
		three := objectOf(r, a, 3)
		a.change(r, three, gone)
		found, err = both(r.inner, a).Verify(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Zero(r, found.Waiting)
		require.Len(r, found.Findings, 1)
		assert.Equal(r, checkpoint.FindingMissing, found.Findings[0].Kind)
		assert.Equal(r, three, found.Findings[0].Object)
	})
}

func TestVersionsFromBeforeTheArchiveAreNotedAndThoseThatTheMirrorLostAreFound(t *testing.T) {
	over(t, func(r *rig) {
		r.minutes(nil, 8)
		r.expire(1, 5)
		a := newMemory()
		found, err := both(r.inner, a).Verify(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Empty(r, found.Findings, "the archive is new")
		require.Len(r, found.Notes, 1)
		assert.Equal(r, [2]int64{1, 5}, [2]int64{found.Notes[0].First, found.Notes[0].Last})
		assert.Equal(r, int64(3), found.Waiting)

		r.minutes(a, 4) // 9 to 12
		found, err = both(r.inner, a).Verify(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Empty(r, found.Findings)
		require.Len(r, found.Notes, 1)
		assert.Equal(r, [2]int64{1, 5}, [2]int64{found.Notes[0].First, found.Notes[0].Last})

		// Above the first that was mirrored it is a loss, until somebody says that it is known.
		a.change(r, objectOf(r, a, 7), gone)
		r.expire(7, 7)
		assert.Equal(r, []checkpoint.FindingKind{checkpoint.FindingGap}, r.findings(a, nil))
		after := r.copy(8).SavedAt
		assert.Equal(r, []checkpoint.FindingKind{checkpoint.FindingGap}, r.findings(a, &checkpoint.VerifyOptions{KnownBefore: after}))
		found, err = both(r.inner, a).Verify(r.Context(), name, &checkpoint.VerifyOptions{KnownBefore: after.Add(time.Second)})
		require.NoError(r, err)
		assert.Empty(r, found.Findings)
		assert.Len(r, found.Notes, 2)

		// A mirror that is gone as a whole was not set late.
		r.expire(1, 11)
		for _, object := range a.keys("v/") {
			a.change(r, object, gone)
		}
		assert.Contains(r, r.findings(a, nil), checkpoint.FindingGap)
	})
}

func TestTheBodyOfASaveThatNeverLandedIsNoReasonToSayThatThereIsNothing(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.orphan(a, 1, "C")
		found, err := both(r.inner, a).Verify(r.Context(), name, nil)
		require.NoError(r, err)
		assert.Equal(r, &checkpoint.VerifyResult{}, found)
		assert.Empty(r, r.collected(a), "the save may still be under way")
	})
}

func TestWhereNothingIsToBeMirroredNothingIsMissingFromTheMirror(t *testing.T) {
	over(t, func(r *rig) {
		a := newMemory()
		r.minutes(a, 3)
		for range 2 { // and then the mirror was switched off
			s := r.mirroring(checkpoint.MirrorOff).bigger(a, nil)
			require.NoError(r, s.Save(r.Context(), "x", big{}))
			r.closed(s)
		}
		r.expire(4, 6)
		assert.Empty(r, r.mirroring(checkpoint.MirrorOff).findings(a, nil))
		assert.Equal(r, []checkpoint.FindingKind{checkpoint.FindingGap}, r.findings(a, nil))
	})
}
