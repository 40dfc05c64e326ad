package clients

import (
	"bufio"
	"context"
	"os"
	"regexp"
	"testing"
	"time"

	"github.com/apache/rocketmq-client-go/v2/consumer"
	"github.com/apache/rocketmq-client-go/v2/primitive"
	"github.com/stretchr/testify/require"

	"github.com/merlinmq/merlin/conformance/cluster"
	javaclients "github.com/merlinmq/merlin/conformance/java"
	"github.com/merlinmq/merlin/conformance/reference"
	"github.com/merlinmq/merlin/conformance/report"
	"github.com/merlinmq/merlin/conformance/suite"
)

// The Java clients 4.9.8 and 5.3.3 see the same promises kept. MERLIN_CASE is a
// regular expression of the cases to run.
func TestJavaClients(t *testing.T) {
	reference.Need(t)
	match := regexp.MustCompile(os.Getenv("MERLIN_CASE"))
	for _, version := range []string{javaclients.V5, javaclients.V4} {
		classPath := buildJava(t, version)
		for _, k := range cluster.Kinds() {
			t.Run("client-"+version+"/"+k.Name, func(t *testing.T) {
				t.Parallel()
				c := k.StartT(t, cluster.Options{}) // its own: it will be restarted
				column, err := report.Run(context.Background(), report.Options{NameServer: c.NameServer(), Match: match,
					Control: c, Java: map[string]string{version: classPath}})
				require.NoError(t, err)
				require.NotEmpty(t, column.Rows, "no case has a name that matches %q", match)
				reportRows(t, column.Rows)
			})
		}
	}
}

func buildJava(t *testing.T, version string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	classPath, err := javaclients.Build(ctx, version)
	require.NoError(t, err)
	return classPath
}

// Requests and replies pass between the languages: the Java client answers the
// Go client, and the other way round. It ends before TestGoClient begins, which
// restarts the same servers.
func TestRequestReply_BetweenLanguages(t *testing.T) {
	reference.Need(t)
	home, classPath := t.TempDir(), buildJava(t, javaclients.V5)
	languages := []suite.Case{
		{Name: "java-answers-go", Area: suite.Send, Limit: 4 * time.Minute, Promise: "A Java consumer answers a request of the Go client.",
			Run: func(ctx context.Context, e *suite.Env) { javaAnswers(ctx, e, classPath, home) }},
		{Name: "go-answers-java", Area: suite.Send, Limit: 4 * time.Minute, Promise: "A Go consumer answers a request of the Java client.",
			Run: func(ctx context.Context, e *suite.Env) { goAnswers(ctx, e, classPath, home) }},
	}
	forEach(t, func(t *testing.T, c cluster.Cluster) {
		results, err := suite.Run(context.Background(), suite.Options{NameServer: c.NameServer(), Cases: languages})
		require.NoError(t, err)
		require.Len(t, results, len(languages))
		reportResults(t, results)
	})
}

func javaAnswers(ctx context.Context, e *suite.Env, classPath, home string) {
	topic, group := e.Topic(1), e.Group()
	cmd := javaclients.Program(ctx, classPath, home, "answer", e.NameServer, group, topic)
	in, err := cmd.StdinPipe()
	e.NoError(err, "a pipe")
	out, err := cmd.StdoutPipe()
	e.NoError(err, "a pipe")
	e.NoError(cmd.Start(), "starting the Java program")
	e.Cleanup(func() {
		_ = in.Close() // its end
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	e.NoError(err, "waiting for the Java consumer")
	e.Equal("ready\n", line, "first word of the Java consumer")
	reply, err := e.Producer().Request(ctx, 30*time.Second, primitive.NewMessage(topic, []byte("hello")))
	e.NoError(err, "asking")
	e.Equal("java says hello", string(reply.Body), "reply")
}

func goAnswers(ctx context.Context, e *suite.Env, classPath, home string) {
	topic, group := e.Topic(1), e.Group()
	replier := e.Producer()
	e.Push(group, topic, suite.All, func(ctx context.Context, m *primitive.MessageExt) consumer.ConsumeResult {
		reply, err := consumer.CreateReplyMessage(m, nil)
		if err != nil {
			e.Errorf("making a reply: %v", err)
			return consumer.ConsumeSuccess
		}
		reply.Body = append([]byte("go says "), m.Body...) // see request-reply
		if _, err := replier.SendSync(ctx, reply); err != nil {
			e.Logf("reply: %v", err)
			return consumer.ConsumeRetryLater
		}
		return consumer.ConsumeSuccess
	})
	out, err := javaclients.Program(ctx, classPath, home, "ask", e.NameServer, topic, "hello").Output()
	e.NoError(err, "asking")
	e.Equal("go says hello\n", string(out), "reply")
}
