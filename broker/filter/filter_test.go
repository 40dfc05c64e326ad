package filter

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/merlinmq/merlin/compat/javastr"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/stretchr/testify/require"
)

// Pins FilterAPI.build.
func TestParse(t *testing.T) {
	for _, c := range []struct {
		expression, kind string
		sub              string
		tags             []string
		err              error
	}{
		{"", "", All, nil, nil},
		{"*", "TAG", All, nil, nil},
		{"a", "", "a", []string{"a"}, nil},
		{"a || b||a|| ", "TAG", "a || b||a|| ", []string{"a", "b"}, nil},
		{"||a", "", "||a", []string{"a"}, nil},
		{" || ", "", " || ", nil, nil},
		{"||", "", "||", nil, ErrSplit},
		{"||||", "TAG", "||||", nil, ErrSplit},
		{"|", "", "|", []string{"|"}, nil},
		{"a > 3", "SQL92", "a > 3", nil, nil},
		{"", "SQL92", "", nil, ErrEmpty},
	} {
		s, err := Parse("t", c.expression, c.kind)
		require.ErrorIs(t, err, c.err, c.expression)
		require.Equal(t, c.sub, s.SubString)
		require.Equal(t, "t", s.Topic)
		if err == nil {
			require.Equal(t, c.tags, s.TagsSet, c.expression)
			require.Len(t, s.CodeSet, len(c.tags))
			require.Equal(t, c.kind == "SQL92", !IsTag(s.ExpressionType))
		}
	}
}

// Pins ExpressionMessageFilter.isMatchedByConsumeQueue.
func TestTags(t *testing.T) {
	code := func(tag string) int64 { return int64(javastr.Hash(tag)) }
	s, err := Parse("t", "TagA||TagB", "")
	require.NoError(t, err)
	require.True(t, Match(&s, code("TagA")))
	require.True(t, Match(&s, code("TagB")))
	require.False(t, Match(&s, code("TagC")))
	require.False(t, Match(&s, 0), "a message without a tag")
	f := Tags(&s)
	require.False(t, f.NeedsRecord())
	require.True(t, f.MatchRecord(nil))

	// "Aa" and "BB" have the same hash: the client tells them apart.
	s, err = Parse("t", "Aa||BB", "")
	require.NoError(t, err)
	require.Len(t, s.TagsSet, 2)
	require.Len(t, s.CodeSet, 1)
	require.True(t, Match(&s, code("BB")))

	s, err = Parse("t", " || ", "")
	require.NoError(t, err)
	require.False(t, Match(&s, code("x")), "no tag at all matches nothing")
	s, err = Parse("t", "*", "")
	require.NoError(t, err)
	require.Nil(t, Tags(&s))
	require.True(t, Match(&s, 0))
	require.Nil(t, Tags(nil))
	require.Nil(t, Tags(&body.SubscriptionData{SubString: "x", ClassFilterMode: true}))
	require.Nil(t, Tags(&body.SubscriptionData{SubString: "a > 1", ExpressionType: SQL92}))
}

func FuzzParse(f *testing.F) {
	f.Add("a||b", "TAG")
	f.Add("|||", "")
	f.Add("\xff||\u00e4", "SQL92")
	f.Fuzz(func(t *testing.T, expression, kind string) {
		s, err := Parse("t", expression, kind)
		if err != nil {
			return
		}
		for _, tag := range s.TagsSet {
			require.True(t, Match(&s, int64(javastr.Hash(tag))))
		}
	})
}

// A subscription of very many tags is parsed in time that grows with its bytes,
// and a match does not look at each of them.
func TestParse_ManyTags(t *testing.T) {
	const n = 160_000
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "tag%d||", i)
	}
	expression := text.String() + text.String()
	began := time.Now()
	sub, err := Parse("T", expression, Tag)
	require.NoError(t, err)
	require.Less(t, time.Since(began), 5*time.Second, "it took 23 s when every tag was compared with every other")
	require.Len(t, sub.TagsSet, n)
	f := Tags(&sub)
	for _, i := range []int{0, 1, n / 2, n - 1} {
		require.True(t, f.MatchTags(int64(javastr.Hash(fmt.Sprintf("tag%d", i)))))
	}
	began = time.Now()
	for i := range 100_000 {
		f.MatchTags(int64(i))
	}
	require.Less(t, time.Since(began), 2*time.Second, "a wake-up of another tag is cheap")
}

// The codes of a heartbeat come in any order.
func TestPrepare(t *testing.T) {
	sub := body.SubscriptionData{SubString: "x", ExpressionType: Tag}
	for i := range int32(100) {
		sub.CodeSet = append(sub.CodeSet, (i*37)%100, 5)
	}
	Prepare(&sub)
	require.Len(t, sub.CodeSet, 100)
	f := Tags(&sub)
	require.True(t, f.MatchTags(99))
	require.False(t, f.MatchTags(100))
}
