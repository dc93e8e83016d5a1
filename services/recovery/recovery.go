package recovery

import (
	"bytes"
	"encoding/json"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	recoveryv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/recovery/v1"
	"github.com/cellar-commerce/cellar/internal/saga"
)

var statuses = map[saga.Status]recoveryv1.Status{
	saga.Running: recoveryv1.Status_STATUS_RUNNING, saga.Undoing: recoveryv1.Status_STATUS_UNDOING, saga.Done: recoveryv1.Status_STATUS_DONE,
	saga.Undone: recoveryv1.Status_STATUS_UNDONE, saga.Parked: recoveryv1.Status_STATUS_PARKED,
}

// shown saga, for an operator.
func shown(l saga.Look) *recoveryv1.Saga {
	cell, _, _ := strings.Cut(l.Holder, "/")
	return &recoveryv1.Saga{
		SagaId: l.ID, Kind: l.Kind, Ring: string(l.CustomerID.Region()), CustomerId: string(l.CustomerID), Status: statuses[l.Status],
		ParkedFrom: statuses[l.ParkedFrom], Step: l.Step, Tries: int32(l.Attempts), LastError: l.LastError,
		CreatedAt: timestamppb.New(l.CreatedAt), UpdatedAt: timestamppb.New(l.UpdatedAt), DueAt: timestamppb.New(l.DueAt), HeldBy: cell, Notes: l.Notes,
	}
}

// public JSON of a state: without what is personal.
func public(state proto.Message) (string, error) {
	state = proto.Clone(state)
	redact(state.ProtoReflect())
	b, err := protojson.Marshal(state)
	if err != nil {
		return "", err
	}
	var out bytes.Buffer
	err = json.Indent(&out, b, "", "  ") // protojson's own white space is not the same twice
	return out.String(), err
}

// redact clears every field that is marked as such, however deep.
func redact(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		o, ok := f.Options().(*descriptorpb.FieldOptions)
		switch {
		case ok && o.GetDebugRedact():
			m.Clear(f)
		case f.IsMap() && f.MapValue().Message() != nil:
			v.Map().Range(func(_ protoreflect.MapKey, v protoreflect.Value) bool {
				redact(v.Message())
				return true
			})
		case f.IsList() && f.Message() != nil:
			for i := range v.List().Len() {
				redact(v.List().Get(i).Message())
			}
		case !f.IsMap() && !f.IsList() && f.Message() != nil:
			redact(v.Message())
		}
		return true
	})
}
