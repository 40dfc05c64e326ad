package disk

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	"github.com/merlinmq/merlin/conformance/internal/storeclient"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/protocol/message"
)

const (
	indexOld = 200 // messages before the pause
	indexNew = 60  // and after it
)

// TestIndex_AfterAKill: which keys each broker finds in the store that each broker
// left when it was killed. A Java broker deletes every index file that is younger
// than the index time of the checkpoint, which moves when a file is full, and makes
// it again from the place where it begins to read the log: older keys are not found,
// whoever was killed. Merlin finds all.
func TestIndex_AfterAKill(t *testing.T) {
	if !*long {
		t.Skip("only with -long: nine starts of a broker")
	}
	reference.Need(t)
	conf := Conf()
	conf["mappedFileSizeCommitLog"], conf["maxHashSlotNum"], conf["maxIndexNum"] = "65536", "1000", "100000"
	for _, writer := range []cluster.Kind{java5, java4, merlin} {
		c := cluster.Mixed(merlin, writer).StartT(t, cluster.Options{BrokerConf: conf})
		dir := filepath.Join(t.TempDir(), "store")
		sent := leaveIndex(t, c, dir)
		for _, reader := range []cluster.Kind{java5, java4, merlin} {
			require.NoError(t, os.RemoveAll(c.StoreDir()))
			require.NoError(t, os.CopyFS(c.StoreDir(), os.DirFS(dir)))
			require.NoError(t, c.UseBroker(reader))
			require.NoError(t, c.StartBroker())
			older, newer := foundKeys(t, c, sent)
			require.NoError(t, c.KillBroker())
			fmt.Printf("| %s | %s | %d of %d | %d of %d |\n", writer.Name, reader.Name, older, indexOld, newer, indexNew)
			require.Equal(t, indexNew, newer, "%s killed, %s", writer.Name, reader.Name)
			if reader.Name == merlin.Name {
				require.Equal(t, indexOld, older, "%s killed, %s", writer.Name, reader.Name)
			}
		}
	}
}

// leaveIndex sends, kills the broker and copies what it left.
func leaveIndex(t *testing.T, c cluster.Cluster, dir string) []string {
	t.Helper()
	cl := storeclient.New(c.BrokerAddr())
	defer cl.Close()
	var sent []string
	for n := range indexOld + indexNew {
		if n == indexOld {
			time.Sleep(5 * time.Second) // recovery of Java reads from three seconds before the checkpoint
		}
		key := fmt.Sprintf("index-%d", n)
		_, err := cl.Send(storeclient.Queue{Topic: "TopicTest", ID: 0}, storeclient.Message{Body: make([]byte, 2000),
			Properties: [][2]string{{message.PropertyKeys, key}, {message.PropertyUniqKey, "U" + key}}})
		require.NoError(t, err)
		sent = append(sent, key)
	}
	time.Sleep(5 * time.Second) // a checkpoint
	older, newer := foundKeys(t, c, sent)
	require.Equal(t, []int{indexOld, indexNew}, []int{older, newer}, "before the kill")
	require.NoError(t, c.KillBroker())
	require.NoError(t, os.CopyFS(dir, os.DirFS(c.StoreDir())))
	return sent
}

// foundKeys counts the keys that a broker finds.
func foundKeys(t *testing.T, c cluster.Cluster, sent []string) (older, newer int) {
	t.Helper()
	cl := storeclient.New(c.BrokerAddr())
	defer cl.Close()
	for n, key := range sent {
		rs, err := cl.ByKey("TopicTest", key)
		require.NoError(t, err)
		switch {
		case len(rs) == 0:
		case n < indexOld:
			older++
		default:
			newer++
		}
	}
	return older, newer
}

// TestDelay_MadeAgainByJava4: a broker 4.9 that has to make the consume queue of a
// delay level again delivers after one second, whatever the level says: it reads the
// levels after it has recovered. 5.3.3 and Merlin wait.
func TestDelay_MadeAgainByJava4(t *testing.T) {
	if !*long {
		t.Skip("only with -long: six starts of a broker")
	}
	reference.Need(t)
	for _, k := range []cluster.Kind{java4, java5, merlin} {
		c := cluster.Mixed(merlin, k).StartT(t, cluster.Options{BrokerConf: Conf()})
		cl := storeclient.New(c.BrokerAddr())
		q := storeclient.Queue{Topic: "TopicTest", ID: 0}
		_, err := cl.Send(q, storeclient.Message{Body: []byte("x"), Properties: [][2]string{{message.PropertyDelayLevel, "4"}, {message.PropertyKeys, "late"}}})
		require.NoError(t, err)
		due := time.Now().Add(30 * time.Second)
		time.Sleep(2 * time.Second)
		cl.Close()
		require.NoError(t, c.KillBroker())
		require.NoError(t, os.RemoveAll(filepath.Join(c.StoreDir(), "consumequeue", "SCHEDULE_TOPIC_XXXX")))
		require.NoError(t, c.StartBroker())
		cl = storeclient.New(c.BrokerAddr())
		var early time.Duration
		require.Eventually(t, func() bool {
			r, err := cl.ReadQueue(q, "*")
			if err == nil && len(r.Found) == 1 {
				early = due.Sub(time.UnixMilli(r.Found[0].StoreTimestamp))
			}
			return err == nil && len(r.Found) == 1
		}, 2*time.Minute, 100*time.Millisecond)
		cl.Close()
		require.NoError(t, c.KillBroker())
		fmt.Printf("%s delivers %v before the time\n", k.Name, early.Round(100*time.Millisecond))
		require.Equal(t, k.Name == java4.Name, early > time.Second, "%s: %v", k.Name, early)
	}
}
