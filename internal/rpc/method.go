package rpc

import (
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	optionsv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/options/v1"
)

// Method is what the options of a method say.
type Method struct {
	Audience  optionsv1.Audience
	Ownership optionsv1.Ownership
	// NoSideEffects: the method may be asked any number of times, also at once.
	NoSideEffects bool
	// Idempotent: a request may be sent again when its answer was lost. What it has done then, it does not do twice. Methods
	// without side effects are no exception.
	Idempotent bool
	// IdempotentByKey: Idempotent, for a request of a customer that carries an Idempotency-Key.
	IdempotentByKey bool
}

// methods by path, of every service linked into the program.
var methods = sync.OnceValue(func() map[string]Method {
	all := map[string]Method{}
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				m := service.Methods().Get(j)
				all["/"+string(service.FullName())+"/"+string(m.Name())] = describe(m)
			}
		}
		return true
	})
	return all
})

func describe(m protoreflect.MethodDescriptor) Method {
	out := Method{Audience: optionsv1.Audience_AUDIENCE_INTERNAL}
	options := m.Options()
	if options == nil {
		return out
	}
	if a, ok := proto.GetExtension(options, optionsv1.E_Audience).(optionsv1.Audience); ok && a != optionsv1.Audience_AUDIENCE_UNSPECIFIED {
		out.Audience = a
	}
	if o, ok := proto.GetExtension(options, optionsv1.E_Ownership).(optionsv1.Ownership); ok {
		out.Ownership = o
	}
	if o, ok := options.(*descriptorpb.MethodOptions); ok {
		out.NoSideEffects = o.GetIdempotencyLevel() == descriptorpb.MethodOptions_NO_SIDE_EFFECTS
		out.Idempotent = out.NoSideEffects || o.GetIdempotencyLevel() == descriptorpb.MethodOptions_IDEMPOTENT
	}
	if keyed, ok := proto.GetExtension(options, optionsv1.E_IdempotencyKey).(bool); ok {
		out.IdempotentByKey = keyed
	}
	return out
}

// MethodOf a path such as "/cellar.cart.v1.CartService/AddItem"; false for none that this program knows.
func MethodOf(path string) (Method, bool) {
	m, ok := methods()[path]
	return m, ok
}

// Shoppers has the methods for shoppers by their paths: all that a router has to know of.
func Shoppers() map[string]Method {
	all := map[string]Method{}
	for path, m := range methods() {
		if m.Audience == optionsv1.Audience_AUDIENCE_PUBLIC {
			all[path] = m
		}
	}
	return all
}
