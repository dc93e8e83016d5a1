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
	// NoSideEffects: the method may be repeated.
	NoSideEffects bool
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
	}
	return out
}

// MethodOf a path such as "/cellar.cart.v1.CartService/AddItem"; false for none that this program knows.
func MethodOf(path string) (Method, bool) {
	m, ok := methods()[path]
	return m, ok
}

// NoSideEffects are the paths of all methods for shoppers that may be asked twice.
func NoSideEffects() map[string]bool {
	paths := map[string]bool{}
	for path, m := range methods() {
		if m.NoSideEffects && m.Audience == optionsv1.Audience_AUDIENCE_PUBLIC {
			paths[path] = true
		}
	}
	return paths
}
