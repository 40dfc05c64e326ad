package topic

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/compat/configfile"
	"github.com/merlinmq/merlin/protocol/body"
)

const path = "/store/config/topics.json"

type rig struct {
	*Table
	cfg     Config
	changed []string
}

func load(t *testing.T, files configfile.Files) *rig {
	t.Helper()
	r := &rig{cfg: Config{
		ClusterName: "DefaultCluster", BrokerName: "broker-a", AutoCreateTopic: true, DefaultQueues: 8,
		ClusterTopic: true, BrokerTopic: true, ReviveQueues: 8,
	}}
	var err error
	r.Table, err = Load(Options{
		Files: files, Path: path, Config: func() Config { return r.cfg }, Now: func() int64 { return 42 },
		Changed: func(c body.TopicConfig) { r.changed = append(r.changed, c.TopicName) },
	})
	require.NoError(t, err)
	return r
}

// TopicConfigManager.init.
func TestLoad_HasTheSystemTopics(t *testing.T) {
	r := load(t, configfile.NewMemory())
	for name, queues := range map[string]int32{
		"TBW102": 8, "SCHEDULE_TOPIC_XXXX": 18, "BenchmarkTest": 1024, "SELF_TEST_TOPIC": 1, "OFFSET_MOVED_EVENT": 1,
		"DefaultCluster": 16, "broker-a": 1, "DefaultCluster_REPLY_TOPIC": 1, "rmq_sys_REVIVE_LOG_DefaultCluster": 8,
		"rmq_sys_SYNC_BROKER_MEMBER_broker-a": 1, "RMQ_SYS_TRANS_HALF_TOPIC": 1, "RMQ_SYS_TRANS_OP_HALF_TOPIC": 1,
	} {
		c := r.Find(name)
		require.NotNil(t, c, name)
		require.Equal(t, queues, c.WriteQueueNums, name)
		require.True(t, r.IsSystem(name), name)
	}
	require.Equal(t, PermRead|PermWrite|PermInherit, r.Find("TBW102").Perm)
	require.False(t, r.IsSystem("mine"))
	require.True(t, r.IsSystem("rmq_sys_anything"))
}

// TopicConfigManager.createTopicInSendMessageMethod.
func TestCreateOnSend(t *testing.T) {
	files := configfile.NewMemory()
	r := load(t, files)
	c, made := r.CreateOnSend("T", "TBW102", 4, FlagUnit)
	require.True(t, made)
	_, made = r.CreateOnSend("T", "TBW102", 4, FlagUnit)
	require.False(t, made, "it is there")
	require.EqualValues(t, 4, c.WriteQueueNums, "the client's wish when it is smaller")
	require.Equal(t, PermRead|PermWrite, c.Perm, "the inherit bit is not inherited")
	require.Equal(t, FlagUnit, c.TopicSysFlag)
	require.Equal(t, []string{"T"}, r.changed)
	c, _ = r.CreateOnSend("U", "TBW102", 100, 0)
	require.EqualValues(t, 8, c.WriteQueueNums)
	c, _ = r.CreateOnSend("V", "T", 4, 0)
	require.Nil(t, c, "T does not let inherit")
	c, _ = r.CreateOnSend("V", "missing", 4, 0)
	require.Nil(t, c)
	r.cfg.AutoCreateTopic = false
	c, _ = r.CreateOnSend("V", "TBW102", 4, 0)
	require.Nil(t, c, "auto creation was switched off")

	require.EqualValues(t, 4, load(t, files).Find("T").ReadQueueNums, "it survives a reload")
}

func TestCreateForGroup_ChangesTheOrderFlag(t *testing.T) {
	r := load(t, configfile.NewMemory())
	r.cfg.AutoCreateTopic = false
	c, made := r.CreateForGroup(Retry("G"), 1, PermRead|PermWrite, 0, false)
	require.True(t, made)
	require.EqualValues(t, 1, c.ReadQueueNums)
	c, made = r.CreateForGroup(Retry("G"), 5, PermRead|PermWrite, 0, true)
	require.True(t, made)
	require.True(t, c.Order)
	require.EqualValues(t, 1, c.ReadQueueNums)
}

func TestDelete(t *testing.T) {
	files := configfile.NewMemory()
	r := load(t, files)
	require.NoError(t, r.Put(body.NewTopicConfig("T")))
	was, err := r.Delete("T")
	require.NoError(t, err)
	require.True(t, was)
	was, err = r.Delete("T")
	require.NoError(t, err)
	require.False(t, was)
	require.Nil(t, load(t, files).Find("T"))
}

func TestLoad_ReadsJavas(t *testing.T) {
	files := configfile.NewMemory()
	require.NoError(t, files.Save(path, []byte(`{
	"dataVersion":{"counter":7,"stateVersion":0,"timestamp":1758240000000},
	"topicConfigTable":{
		"TopicA":{"attributes":{"+message.type":"NORMAL"},"order":true,"perm":6,"readQueueNums":3,
			"topicFilterType":"SINGLE_TAG","topicName":"TopicA","topicSysFlag":0,"writeQueueNums":5,},
	}
}`)))
	r := load(t, files)
	require.Equal(t, "TopicConfig [topicName=TopicA, readQueueNums=3, writeQueueNums=5, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=true, attributes={+message.type=NORMAL}]",
		Describe(r.Find("TopicA")))
	require.EqualValues(t, 7, r.Version().Counter)
	require.NotNil(t, r.Find("TBW102"), "system topics are there beside those of the file")
}

func TestLoad_BrokenFileIsAnError(t *testing.T) {
	files := configfile.NewMemory()
	require.NoError(t, files.Save(path, []byte(`{"topicConfigTable":{`)))
	_, err := Load(Options{Files: files, Path: path, Config: func() Config { return Config{} }})
	require.ErrorContains(t, err, path)
}

// failing is a disk that is full until it is not.
type failing struct {
	configfile.Files
	full bool
}

func (f *failing) Save(path string, data []byte) error {
	if f.full {
		return errors.New("disk full")
	}
	return f.Files.Save(path, data)
}

// A file that cannot be written stops no client: topics and groups that are made
// on the way are there all the same (ConfigManager.persist logs it). A tool is told.
func TestCreate_GoesOnWithAFullDisk(t *testing.T) {
	files := &failing{Files: configfile.NewMemory(), full: true}
	r := load(t, files)
	c, made := r.CreateOnSend("T", "TBW102", 4, 0)
	require.True(t, made)
	require.Same(t, c, r.Find("T"))
	_, made = r.CreateForGroup(Retry("G"), 1, PermRead|PermWrite, 0, false)
	require.True(t, made)
	require.ErrorContains(t, r.Put(body.NewTopicConfig("U")), "disk full")
	require.Equal(t, []string{"T", Retry("G"), "U"}, r.changed, "the name servers are told of what is there")
	require.Error(t, r.Rewrite())
	files.full = false
	require.NoError(t, r.Rewrite())
	for _, name := range r.changed {
		require.NotNil(t, load(t, files).Find(name), name)
	}
	files.full = true
	require.NoError(t, r.Rewrite(), "nothing to write again")
}

func TestTable_ManyAtOnce(t *testing.T) {
	files := configfile.NewMemory()
	r := load(t, files)
	r.opts.Changed = func(body.TopicConfig) {}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 50 {
				c, _ := r.CreateOnSend("T"+strings.Repeat("x", i), "TBW102", 4, 0)
				require.NotNil(t, c)
			}
		})
	}
	all.Wait()
	require.NotNil(t, load(t, files).Find("T"+strings.Repeat("x", 49)), "the last save has everything")
}

func TestValidate(t *testing.T) {
	require.Empty(t, Validate("%RETRY%a|b_-Z9"))
	require.Equal(t, "The specified topic is blank.", Validate(" "))
	require.Contains(t, Validate("ä"), "illegal characters")
	require.Contains(t, Validate("a b"), "illegal characters")
	require.Empty(t, Validate(strings.Repeat("a", 127)))
	require.Contains(t, Validate(strings.Repeat("a", 128)), "longer")
	require.Equal(t, "R-X", PermString(5))
}

// counted counts the bytes that are written, and takes them in place.
type counted struct {
	*configfile.Memory
	written, whole int
}

func (c *counted) Save(path string, data []byte) error {
	c.written += len(data)
	c.whole++
	return c.Memory.Save(path, data)
}

func (c *counted) Patch(path string, size int64, pieces []configfile.Piece) error {
	for _, p := range pieces {
		c.written += len(p.Data)
	}
	return c.Memory.Patch(path, size, pieces)
}

// Creating many topics one by one costs each a small write, and each is in the
// file when it was acknowledged.
func TestPut_OneByOneIsLinear(t *testing.T) {
	files := &counted{Memory: configfile.NewMemory()}
	r := load(t, files)
	const n = 3000
	size := 0
	for i := range n {
		c := body.NewTopicConfig("topic-" + strconv.Itoa(i))
		c.ReadQueueNums, c.WriteQueueNums = 8, 8
		if i%100 == 7 {
			c.Attributes = map[string]string{"message.type": "DELAY", "long": strings.Repeat("x", i/20)}
		}
		require.NoError(t, r.Put(c))
		size += 300 + i%100/7
		if i%1000 == 0 || i == n-1 {
			again := load(t, files)
			require.Equal(t, r.Version(), again.Version())
			all, _ := r.All()
			same, _ := again.All()
			require.Len(t, same, len(all), "as after a kill")
			for k := range all {
				require.Equal(t, Describe(all[k]), Describe(same[k]))
			}
		}
	}
	require.Less(t, files.written, 8*size, "%d full writes", files.whole)

	// A change and a deletion count; a stop leaves the file as Java writes it.
	c := *r.Find("topic-5")
	c.WriteQueueNums = 3
	require.NoError(t, r.Put(c))
	require.EqualValues(t, 3, load(t, files).Find("topic-5").WriteQueueNums)
	_, err := r.Delete("topic-6")
	require.NoError(t, err)
	require.Nil(t, load(t, files).Find("topic-6"))
	require.NoError(t, r.Persist())
	data, err := files.Load(path, nil, nil)
	require.NoError(t, err)
	require.NotContains(t, string(data), "  ")
	require.Nil(t, load(t, files).Find("topic-6"))
	require.EqualValues(t, 3, load(t, files).Find("topic-5").WriteQueueNums)
}

// failsWrites fails every write while it is told to.
type failsWrites struct {
	*configfile.Memory
	now atomic.Bool
}

func (f *failsWrites) Save(path string, data []byte) error {
	if f.now.Load() {
		return errors.New("no space")
	}
	return f.Memory.Save(path, data)
}

func (f *failsWrites) Patch(path string, size int64, pieces []configfile.Piece) error {
	if f.now.Load() {
		return errors.New("no space")
	}
	return f.Memory.Patch(path, size, pieces)
}

// What failed to be written is written with the next change.
func TestPut_AFailedWriteIsMadeUpFor(t *testing.T) {
	files := &failsWrites{Memory: configfile.NewMemory()}
	r := load(t, files)
	require.NoError(t, r.Put(body.NewTopicConfig("a")))
	files.now.Store(true)
	require.Error(t, r.Put(body.NewTopicConfig("b")))
	require.Error(t, r.Rewrite(), "it is still not in the file")
	files.now.Store(false)
	require.NoError(t, r.Rewrite())
	require.NotNil(t, load(t, files).Find("b"))
}

// blocking holds its first write until it is let go, and counts them.
type blocking struct {
	configfile.Files
	began, goOn chan struct{}
	writes      int
}

func (b *blocking) Save(path string, data []byte) error {
	if b.writes++; b.writes == 1 {
		close(b.began)
		<-b.goOn
	}
	return b.Files.Save(path, data)
}

// Changes that come while a write is under way wait for nothing but the next one,
// which they share.
func TestStage_ChangesThatComeTogetherShareAWrite(t *testing.T) {
	files := &blocking{Files: configfile.NewMemory(), began: make(chan struct{}), goOn: make(chan struct{})}
	r := load(t, files)
	first := make(chan error)
	go func() { first <- r.Stage(body.NewTopicConfig("first"))() }()
	<-files.began
	var settle func() error
	for i := range 50 {
		settle = r.Stage(body.NewTopicConfig("later-" + strconv.Itoa(i)))
	}
	close(files.goOn)
	require.NoError(t, <-first)
	require.Nil(t, load(t, files).Find("later-0"))
	require.NoError(t, settle())
	require.NotNil(t, load(t, files).Find("later-0"))
	require.NotNil(t, load(t, files).Find("later-49"))
	require.NoError(t, r.Rewrite())
	require.Equal(t, 2, files.writes)
}

// The name servers are told while the file is written, not after it: a broker that
// dies between the two is taken out there with everything it had registered.
func TestStage_TellsWhileItWrites(t *testing.T) {
	files := &blocking{Files: configfile.NewMemory(), began: make(chan struct{}), goOn: make(chan struct{})}
	told := make(chan string, 1)
	r, err := Load(Options{
		Files: files, Path: path, Now: func() int64 { return 1 }, Config: func() Config { return Config{ClusterName: "c", BrokerName: "b"} },
		Changed: func(c body.TopicConfig) { told <- c.TopicName },
	})
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- r.Stage(body.NewTopicConfig("a"))() }()
	<-files.began
	select {
	case name := <-told:
		require.Equal(t, "a", name)
	default:
		t.Error("the write is under way and nobody was told")
	}
	close(files.goOn)
	require.NoError(t, <-done)
}
