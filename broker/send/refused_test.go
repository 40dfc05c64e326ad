package send

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/clock"
	"github.com/merlinmq/merlin/store"
)

func TestRefused_OneLineASecond(t *testing.T) {
	var out bytes.Buffer
	c := clock.NewManual(time.UnixMilli(1_000_000))
	h := New(Deps{Clock: c, Logger: slog.New(slog.NewTextHandler(&out, nil))})
	o := &one{topic: "T"}
	o.Result = store.PutResult{Err: errors.New("no room")}
	for range 100 {
		h.refused(o, "full")
	}
	require.Equal(t, 1, strings.Count(out.String(), "send refused"))
	c.Advance(time.Second)
	h.refused(o, "full")
	require.Equal(t, 2, strings.Count(out.String(), "send refused"))
	require.Contains(t, out.String(), "more=99")

	o.Result.Err = nil // refused by a status that explains itself
	h.refused(o, "full")
	c.Advance(time.Second)
	h.refused(o, "full")
	require.Equal(t, 2, strings.Count(out.String(), "send refused"))
}
