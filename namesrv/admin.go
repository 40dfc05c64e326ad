package namesrv

import (
	"errors"

	"github.com/merlinmq/merlin/compat/version"
	"github.com/merlinmq/merlin/protocol"
	"github.com/merlinmq/merlin/protocol/body"
	"github.com/merlinmq/merlin/protocol/header"
	"github.com/merlinmq/merlin/protocol/wire"
	"github.com/merlinmq/merlin/remoting"
)

// putKV is PUT_KV_CONFIG, 100. The value is on the disk when the answer is a
// success; Java answers so even when the disk refused it.
func (s *Server) putKV(_ *remoting.Request, q *header.PutKVConfigRequest) (*remoting.Answer, error) {
	if !q.Namespace.Set || !q.Key.Set {
		return nil, protocol.Errorf(protocol.SystemError, "namespace or key is null")
	}
	if !q.Value.Set {
		return nil, protocol.Errorf(protocol.SystemError, "value is null")
	}
	s.log.Info("KV configuration set", "namespace", q.Namespace.V, "key", q.Key.V, "value", q.Value.V)
	if err := s.kv.Put(q.Namespace.V, q.Key.V, q.Value.V); err != nil {
		return nil, err
	}
	return ok(nil)
}

// getKV is GET_KV_CONFIG, 101; 22 when there is no such key.
func (s *Server) getKV(_ *remoting.Request, q *header.GetKVConfigRequest) (*remoting.Answer, error) {
	v, found := s.kv.Get(q.Namespace.V, q.Key.V)
	if !found {
		a := remoting.Refuse(protocol.QueryNotFound, "No config item, Namespace: "+text(q.Namespace)+" Key: "+text(q.Key))
		a.Header = &header.GetKVConfigResponse{}
		return a, nil
	}
	return &remoting.Answer{Header: &header.GetKVConfigResponse{Value: wire.Some(v)}}, nil
}

// text is a field as Java joins it to a string.
func text(s wire.OptString) string { return s.Or("null") }

// deleteKV is DELETE_KV_CONFIG, 102; a success also when there was nothing.
func (s *Server) deleteKV(_ *remoting.Request, q *header.DeleteKVConfigRequest) (*remoting.Answer, error) {
	s.log.Info("KV configuration deleted", "namespace", q.Namespace.V, "key", q.Key.V)
	if err := s.kv.Delete(q.Namespace.V, q.Key.V); err != nil {
		return nil, err
	}
	return ok(nil)
}

// listKV is GET_KVLIST_BY_NAMESPACE, 219; 22 for a namespace that was never used.
func (s *Server) listKV(_ *remoting.Request, q *header.GetKVListByNamespaceRequest) (*remoting.Answer, error) {
	l := s.kv.List(q.Namespace.V)
	if l == nil || !q.Namespace.Set {
		return nil, protocol.Errorf(protocol.QueryNotFound, "No config item, Namespace: %s", text(q.Namespace))
	}
	return ok(&body.KVTable{Table: l})
}

// updateConfig is UPDATE_NAMESRV_CONFIG, 318: the body is properties text; 16 when
// a key is in the black list. The flags take effect at once, sizes and addresses
// with the next start. The result is written to configStorePath. A value that is
// no number where one is needed is refused; Java ignores it.
func (s *Server) updateConfig(r *remoting.Request, _ *header.None) (*remoting.Answer, error) {
	s.log.Info("configuration update", "client", r.Conn.RemoteAddr())
	if len(r.Cmd.Body) == 0 {
		return ok(nil)
	}
	err := s.settings.update(r.Cmd.Body)
	if errors.Is(err, errBlackListed) {
		return nil, protocol.Errorf(protocol.NoPermission, "%s", err)
	}
	if err != nil {
		return nil, err
	}
	return ok(nil)
}

// getConfig is GET_NAMESRV_CONFIG, 319: all keys as "key=value" lines. A header
// field, which no client reads, says which implementation answers.
func (s *Server) getConfig(*remoting.Request, *header.None) (*remoting.Answer, error) {
	return &remoting.Answer{Body: []byte(s.settings.get().Text()), Ext: []wire.Field{{Key: version.Field, Value: version.Implementation}}}, nil
}
