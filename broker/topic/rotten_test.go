package topic

import (
	"bytes"
	"log/slog"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol/body"
)

// Of the topics that were added in place since the last full write, which no other
// file has, a rotten byte takes one at most, and the log says so.
func TestLoad_ARottenByteKeepsWhatWasAddedInPlace(t *testing.T) {
	files := configfile.NewMemory()
	r := load(t, files)
	for i := range 300 {
		require.NoError(t, r.Put(body.NewTopicConfig("topic-"+strconv.Itoa(i))))
	}
	data, err := files.Load(path, nil, nil)
	require.NoError(t, err)
	data[bytes.Index(data, []byte(`"topic-250"`))] ^= 4
	require.NoError(t, files.Save("other", data))

	broken := configfile.NewMemory()
	bak, err := files.Load(path+".bak", nil, nil)
	require.NoError(t, err)
	require.NotContains(t, string(bak), "topic-299")
	require.NoError(t, broken.Save(path, bak))
	require.NoError(t, broken.Save(path, data))
	opts := r.opts
	var log bytes.Buffer
	opts.Files, opts.Logger = broken, slog.New(slog.NewTextHandler(&log, nil))
	again, err := Load(opts)
	require.NoError(t, err)
	for i := range 300 {
		if name := "topic-" + strconv.Itoa(i); i != 250 {
			require.NotNil(t, again.Find(name), name)
		}
	}
	require.Contains(t, log.String(), "a file is damaged")
	require.Contains(t, log.String(), "unreadable=1")
	require.NotEqual(t, r.Version(), again.Version(), "name servers must take it for news")

	// The file is whole again at once, and what was damaged is kept.
	log.Reset()
	_, err = Load(opts)
	require.NoError(t, err)
	require.Empty(t, log.String())
	kept, err := broken.Load(path+".damaged", nil, nil)
	require.NoError(t, err)
	require.Equal(t, data, kept)
}

// A rotten byte of a name that leaves the file readable does not take the topic away.
func TestLoad_ARottenName(t *testing.T) {
	for _, from := range []string{`"topic-a":{`, `"topicName":"topic-a"`} {
		files := configfile.NewMemory()
		r := load(t, files)
		c := body.NewTopicConfig("topic-a")
		c.WriteQueueNums = 3
		require.NoError(t, r.Put(c, body.NewTopicConfig("topic-c")))
		data, err := files.Load(path, nil, nil)
		require.NoError(t, err)
		require.Contains(t, string(data), from)
		data = bytes.Replace(data, []byte(from), bytes.Replace([]byte(from), []byte("-a"), []byte("-q"), 1), 1)
		require.NoError(t, files.Save(path, data))
		require.EqualValues(t, 3, load(t, files).Find("topic-a").WriteQueueNums)
	}
}

// Deleting many topics one by one costs each a small write, too.
func TestDelete_OneByOneIsLinear(t *testing.T) {
	files := &counted{Memory: configfile.NewMemory()}
	r := load(t, files)
	const n = 3000
	var all []body.TopicConfig
	size := 0
	for i := range n {
		c := body.NewTopicConfig("%RETRY%topic-with-a-name-" + strconv.Itoa(i))
		c.ReadQueueNums, c.WriteQueueNums = 8, 8
		all = append(all, c)
		size += 350
	}
	require.NoError(t, r.Put(all...))
	files.written, files.whole = 0, 0
	for i, c := range all {
		was, err := r.Delete(c.TopicName)
		require.NoError(t, err)
		require.True(t, was)
		if i%1000 == 0 || i == n-1 {
			again := load(t, files)
			require.Nil(t, again.Find(c.TopicName))
			left, _ := r.All()
			same, _ := again.All()
			require.Len(t, same, len(left))
		}
	}
	require.Less(t, files.written, 4*size, "%d full writes", files.whole)
}
