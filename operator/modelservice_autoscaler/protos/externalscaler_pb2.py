# Generated from externalscaler.proto by `make generate`; do not edit.
from modelservice_autoscaler.protos.pool import add_file, message_class

DESCRIPTOR = add_file(
    "externalscaler.proto",
    b'\n\x14externalscaler.proto\x12\x0eexternalscaler"\xe3\x01\n\x0fScaledObjectRef\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x12\x1c\n\tnamespace\x18\x02 \x01('
    b'\tR\tnamespace\x12[\n\x0escalerMetadata\x18\x03 \x03(\x0b23.externalscaler.ScaledObjectRef.ScalerMetadataEntryR\x0escale'
    b'rMetadata\x1aA\n\x13ScalerMetadataEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12\x14\n\x05value\x18\x02 \x01(\tR\x05value:\x028\x01"*\n\x10IsActiveResponse'
    b'\x12\x16\n\x06result\x18\x01 \x01(\x08R\x06result"U\n\x15GetMetricSpecResponse\x12<\n\x0bmetricSpecs\x18\x01 \x03(\x0b2\x1a.externalscaler.MetricSp'
    b'ecR\x0bmetricSpecs"v\n\nMetricSpec\x12\x1e\n\nmetricName\x18\x01 \x01(\tR\nmetricName\x12\x1e\n\ntargetSize\x18\x02 \x01(\x03R\ntargetSize\x12(\n'
    b'\x0ftargetSizeFloat\x18\x03 \x01(\x01R\x0ftargetSizeFloat"~\n\x11GetMetricsRequest\x12I\n\x0fscaledObjectRef\x18\x01 \x01(\x0b2\x1f.external'
    b'scaler.ScaledObjectRefR\x0fscaledObjectRef\x12\x1e\n\nmetricName\x18\x02 \x01(\tR\nmetricName"U\n\x12GetMetricsResponse\x12?\n'
    b'\x0cmetricValues\x18\x01 \x03(\x0b2\x1b.externalscaler.MetricValueR\x0cmetricValues"{\n\x0bMetricValue\x12\x1e\n\nmetricName\x18\x01 \x01('
    b'\tR\nmetricName\x12 \n\x0bmetricValue\x18\x02 \x01(\x03R\x0bmetricValue\x12*\n\x10metricValueFloat\x18\x03 \x01(\x01R\x10metricValueFloat2\xe4\x02\n\x0e'
    b'ExternalScaler\x12M\n\x08IsActive\x12\x1f.externalscaler.ScaledObjectRef\x1a .externalscaler.IsActiveResponse\x12U\n'
    b'\x0eStreamIsActive\x12\x1f.externalscaler.ScaledObjectRef\x1a .externalscaler.IsActiveResponse0\x01\x12W\n\rGetMetri'
    b'cSpec\x12\x1f.externalscaler.ScaledObjectRef\x1a%.externalscaler.GetMetricSpecResponse\x12S\n\nGetMetrics\x12!.ex'
    b'ternalscaler.GetMetricsRequest\x1a".externalscaler.GetMetricsResponseb\x06proto3',
)

ScaledObjectRef = message_class(DESCRIPTOR, "ScaledObjectRef")
IsActiveResponse = message_class(DESCRIPTOR, "IsActiveResponse")
GetMetricSpecResponse = message_class(DESCRIPTOR, "GetMetricSpecResponse")
MetricSpec = message_class(DESCRIPTOR, "MetricSpec")
GetMetricsRequest = message_class(DESCRIPTOR, "GetMetricsRequest")
GetMetricsResponse = message_class(DESCRIPTOR, "GetMetricsResponse")
MetricValue = message_class(DESCRIPTOR, "MetricValue")
