package wire

import (
	"bufio"
	"encoding/base64"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
)

// lines returns the columns of each line of a file of testdata.
func lines(t testing.TB, name string) [][]string {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	require.NoError(t, err)
	defer f.Close()
	var out [][]string
	s := bufio.NewScanner(f)
	s.Buffer(nil, 1<<24)
	for s.Scan() {
		out = append(out, strings.Split(s.Text(), "\t"))
	}
	require.NoError(t, s.Err())
	require.NotEmpty(t, out)
	return out
}

// bytesOf reads a base64 column.
func bytesOf(t testing.TB, col string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(col)
	require.NoError(t, err)
	return b
}

// rewrite writes a decoded command again, with the fields of h.
func rewrite(c *wire.Command, h wire.FieldEncoder) []byte {
	o := wire.Outgoing{Code: c.Code, Language: c.Language, Version: c.Version, Opaque: c.Opaque, Flag: c.Flag,
		Remark: c.Remark, HasRemark: c.HasRemark, Header: h, Encoding: c.Encoding}
	if h == nil {
		o.Ext = c.Ext
	}
	return append(wire.AppendHead(nil, &o, len(c.Body)), c.Body...)
}

// Every header class, in both encodings, decodes into its struct and becomes the
// same bytes again (RemotingCommand.fastEncodeHeader).
func TestHeaders_SameBytesAsJava(t *testing.T) {
	classes, frames := map[string]bool{}, 0
	for _, col := range lines(t, "headers.tsv") {
		class, set, enc := col[0], col[1], col[2]
		want := bytesOf(t, col[3])
		var c wire.Command
		require.NoError(t, wire.Decode(want[4:], &c), "%s %s %s", class, set, enc)
		h := header.New(class)
		require.NotNil(t, h, class)
		require.NoError(t, h.DecodeFields(&c), "%s %s %s", class, set, enc)
		if set == "small" && enc == "ROCKETMQ" {
			// Java's reader turns empty values of the binary form into null, so
			// these bytes cannot come back; the other fields must.
			var d wire.Command
			require.NoError(t, wire.Decode(rewrite(&c, h)[4:], &d))
			require.ElementsMatch(t, c.Ext, d.Ext, "%s %s", class, set)
			frames++
			continue
		}
		require.Equal(t, string(want), string(rewrite(&c, h)), "%s %s %s", class, set, enc)
		classes[class] = true
		frames++
	}
	require.GreaterOrEqual(t, len(classes), 140)
	t.Logf("%d header classes, %d frames", len(classes), frames)
}

// Frames without a header class: codes, languages, flags, remarks, ext fields.
func TestFrames_SameBytesAsJava(t *testing.T) {
	n := 0
	for _, col := range lines(t, "frames.tsv") {
		want := bytesOf(t, col[3])
		var c wire.Command
		require.NoError(t, wire.Decode(want[4:], &c))
		require.Equal(t, string(want), string(rewrite(&c, nil)), "%v", col[:3])
		n++
	}
	t.Logf("%d frames", n)
}
