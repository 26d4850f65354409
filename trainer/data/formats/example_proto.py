"""Define `tf.train.Example` as a separate message class, since importing TensorFlow's loads all of TensorFlow."""

from functools import lru_cache
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory


@lru_cache(maxsize=1)
def example_class() -> Any:
    """Return the message class; it is built only once."""
    types = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="records/example.proto", package="tensorflow", syntax="proto3")

    def add_field(message: Any, name: str, number: int, kind: int, **options: Any) -> None:
        options.setdefault("label", types.LABEL_OPTIONAL)
        message.field.add(name=name, number=number, type=kind, **options)

    lists = (("BytesList", types.TYPE_BYTES), ("FloatList", types.TYPE_FLOAT), ("Int64List", types.TYPE_INT64))
    for name, kind in lists:
        add_field(file.message_type.add(name=name), "value", 1, kind, label=types.LABEL_REPEATED)
    feature = file.message_type.add(name="Feature")
    feature.oneof_decl.add(name="kind")
    for number, (field_name, type_name) in enumerate(
        (("bytes_list", "BytesList"), ("float_list", "FloatList"), ("int64_list", "Int64List")), start=1
    ):
        add_field(feature, field_name, number, types.TYPE_MESSAGE, type_name=f".tensorflow.{type_name}", oneof_index=0)
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    add_field(entry, "key", 1, types.TYPE_STRING)
    add_field(entry, "value", 2, types.TYPE_MESSAGE, type_name=".tensorflow.Feature")
    add_field(
        features,
        "feature",
        1,
        types.TYPE_MESSAGE,
        label=types.LABEL_REPEATED,
        type_name=".tensorflow.Features.FeatureEntry",
    )
    example = file.message_type.add(name="Example")
    add_field(example, "features", 1, types.TYPE_MESSAGE, type_name=".tensorflow.Features")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))
