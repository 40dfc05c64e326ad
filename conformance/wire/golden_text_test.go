package wire

import (
	"math"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/javaprops"
	"github.com/merlinmq/merlin/compat/javastr"
	"github.com/merlinmq/merlin/protocol/message"
)

// java.util.Properties.load.
func TestJavaProps_AsJava(t *testing.T) {
	for _, col := range lines(t, "javaprops.tsv") {
		text := bytesOf(t, col[0])
		entries, err := javaprops.Parse(text, "f")
		if len(col) == 2 {
			require.ErrorIs(t, err, javaprops.ErrSyntax, "%q", text)
			continue
		}
		require.NoError(t, err, "%q", text)
		want := map[string]string{}
		for i := 1; i < len(col); i += 2 {
			want[string(bytesOf(t, col[i]))] = string(bytesOf(t, col[i+1]))
		}
		require.Equal(t, want, javaprops.Map(entries), "%q", text)
	}
}

// String.hashCode.
func TestHash_AsJava(t *testing.T) {
	for _, col := range lines(t, "hashes.tsv") {
		s := string(bytesOf(t, col[0]))
		require.Equal(t, col[1], strconv.Itoa(int(javastr.Hash(s))), s)
		require.Equal(t, javastr.Hash(s), javastr.HashBytes([]byte(s)), s)
		require.Equal(t, col[1], strconv.FormatInt(message.TagsHash(s), 10), s)
	}
}

// Double.toString.
func TestDouble_AsJava(t *testing.T) {
	for _, col := range lines(t, "doubles.tsv") {
		bits, err := strconv.ParseInt(col[0], 10, 64)
		require.NoError(t, err)
		require.Equal(t, col[1], string(javastr.AppendDouble(nil, math.Float64frombits(uint64(bits)))))
	}
}
