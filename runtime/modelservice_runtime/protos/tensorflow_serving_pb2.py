# Generated from tensorflow_serving.proto by `make generate`; do not edit.
import modelservice_runtime.protos.tensorflow_pb2  # registers what this file imports
import modelservice_runtime.protos.tensorflow_error_pb2  # registers what this file imports
from modelservice_runtime.protos.pool import add_file, message_class

DESCRIPTOR = add_file(
    "tensorflow_serving.proto",
    b'\n\x18tensorflow_serving.proto\x12\x12tensorflow.serving\x1a\x19google/protobuf/any.proto\x1a\x1egoogle/protobuf/wrapp'
    b'ers.proto\x1a\x10tensorflow.proto\x1a\x16tensorflow_error.proto"\xb8\x01\n\tModelSpec\x12\x12\n\x04name\x18\x01 \x01(\tR\x04name\x127\n\x07version'
    b'\x18\x02 \x01(\x0b2\x1b.google.protobuf.Int64ValueH\x00R\x07version\x12%\n\rversion_label\x18\x04 \x01(\tH\x00R\x0cversionLabel\x12%\n\x0esignatu'
    b're_name\x18\x03 \x01(\tR\rsignatureNameB\x10\n\x0eversion_choice"\x8f\x02\n\x0ePredictRequest\x12<\n\nmodel_spec\x18\x01 \x01(\x0b2\x1d.tensorfl'
    b'ow.serving.ModelSpecR\tmodelSpec\x12F\n\x06inputs\x18\x02 \x03(\x0b2..tensorflow.serving.PredictRequest.InputsEntryR'
    b'\x06inputs\x12#\n\routput_filter\x18\x03 \x03(\tR\x0coutputFilter\x1aR\n\x0bInputsEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12-\n\x05value\x18\x02 \x01(\x0b2\x17.t'
    b'ensorflow.TensorProtoR\x05value:\x028\x01"\xf0\x01\n\x0fPredictResponse\x12J\n\x07outputs\x18\x01 \x03(\x0b20.tensorflow.serving.Predi'
    b'ctResponse.OutputsEntryR\x07outputs\x12<\n\nmodel_spec\x18\x02 \x01(\x0b2\x1d.tensorflow.serving.ModelSpecR\tmodelSpec\x1aS'
    b'\n\x0cOutputsEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12-\n\x05value\x18\x02 \x01(\x0b2\x17.tensorflow.TensorProtoR\x05value:\x028\x01">\n\x0bExampleLi'
    b'st\x12/\n\x08examples\x18\x01 \x03(\x0b2\x13.tensorflow.ExampleR\x08examples"x\n\x16ExampleListWithContext\x12/\n\x08examples\x18\x01 \x03(\x0b2'
    b'\x13.tensorflow.ExampleR\x08examples\x12-\n\x07context\x18\x02 \x01(\x0b2\x13.tensorflow.ExampleR\x07context"\xbe\x01\n\x05Input\x12D\n\x0cexamp'
    b'le_list\x18\x01 \x01(\x0b2\x1f.tensorflow.serving.ExampleListH\x00R\x0bexampleList\x12g\n\x19example_list_with_context\x18\x02 \x01(\x0b'
    b'2*.tensorflow.serving.ExampleListWithContextH\x00R\x16exampleListWithContextB\x06\n\x04kind"\x86\x01\n\x15Classificatio'
    b'nRequest\x12<\n\nmodel_spec\x18\x01 \x01(\x0b2\x1d.tensorflow.serving.ModelSpecR\tmodelSpec\x12/\n\x05input\x18\x02 \x01(\x0b2\x19.tensorfl'
    b'ow.serving.InputR\x05input"3\n\x05Class\x12\x14\n\x05label\x18\x01 \x01(\tR\x05label\x12\x14\n\x05score\x18\x02 \x01(\x02R\x05score"F\n\x0fClassifications\x12'
    b'3\n\x07classes\x18\x01 \x03(\x0b2\x19.tensorflow.serving.ClassR\x07classes"e\n\x14ClassificationResult\x12M\n\x0fclassifications\x18'
    b'\x01 \x03(\x0b2#.tensorflow.serving.ClassificationsR\x0fclassifications"\x98\x01\n\x16ClassificationResponse\x12@\n\x06result'
    b'\x18\x01 \x01(\x0b2(.tensorflow.serving.ClassificationResultR\x06result\x12<\n\nmodel_spec\x18\x02 \x01(\x0b2\x1d.tensorflow.servin'
    b'g.ModelSpecR\tmodelSpec"\x82\x01\n\x11RegressionRequest\x12<\n\nmodel_spec\x18\x01 \x01(\x0b2\x1d.tensorflow.serving.ModelSpecR'
    b'\tmodelSpec\x12/\n\x05input\x18\x02 \x01(\x0b2\x19.tensorflow.serving.InputR\x05input""\n\nRegression\x12\x14\n\x05value\x18\x01 \x01(\x02R\x05value"'
    b'T\n\x10RegressionResult\x12@\n\x0bregressions\x18\x01 \x03(\x0b2\x1e.tensorflow.serving.RegressionR\x0bregressions"\x90\x01\n\x12Regres'
    b'sionResponse\x12<\n\x06result\x18\x01 \x01(\x0b2$.tensorflow.serving.RegressionResultR\x06result\x12<\n\nmodel_spec\x18\x02 \x01(\x0b2\x1d'
    b'.tensorflow.serving.ModelSpecR\tmodelSpec"\xc8\x01\n\x0fSignatureDefMap\x12Z\n\rsignature_def\x18\x01 \x03(\x0b25.tensorflow'
    b'.serving.SignatureDefMap.SignatureDefEntryR\x0csignatureDef\x1aY\n\x11SignatureDefEntry\x12\x10\n\x03key\x18\x01 \x01(\tR\x03key\x12'
    b'.\n\x05value\x18\x02 \x01(\x0b2\x18.tensorflow.SignatureDefR\x05value:\x028\x01"~\n\x17GetModelMetadataRequest\x12<\n\nmodel_spec\x18\x01 \x01'
    b'(\x0b2\x1d.tensorflow.serving.ModelSpecR\tmodelSpec\x12%\n\x0emetadata_field\x18\x02 \x03(\tR\rmetadataField"\x83\x02\n\x18GetModel'
    b'MetadataResponse\x12<\n\nmodel_spec\x18\x01 \x01(\x0b2\x1d.tensorflow.serving.ModelSpecR\tmodelSpec\x12V\n\x08metadata\x18\x02 \x03(\x0b'
    b'2:.tensorflow.serving.GetModelMetadataResponse.MetadataEntryR\x08metadata\x1aQ\n\rMetadataEntry\x12\x10\n\x03key\x18\x01'
    b' \x01(\tR\x03key\x12*\n\x05value\x18\x02 \x01(\x0b2\x14.google.protobuf.AnyR\x05value:\x028\x01"i\n\x0bStatusProto\x125\n\nerror_code\x18\x01 \x01(\x0e2\x16.t'
    b'ensorflow.error.CodeR\terrorCode\x12#\n\rerror_message\x18\x02 \x01(\tR\x0cerrorMessage"\x80\x02\n\x12ModelVersionStatus\x12\x18\n\x07v'
    b'ersion\x18\x01 \x01(\x03R\x07version\x12B\n\x05state\x18\x02 \x01(\x0e2,.tensorflow.serving.ModelVersionStatus.StateR\x05state\x127\n\x06sta'
    b'tus\x18\x03 \x01(\x0b2\x1f.tensorflow.serving.StatusProtoR\x06status"S\n\x05State\x12\x0b\n\x07UNKNOWN\x10\x00\x12\t\n\x05START\x10\n\x12\x0b\n\x07LOADING\x10\x14'
    b'\x12\r\n\tAVAILABLE\x10\x1e\x12\r\n\tUNLOADING\x10(\x12\x07\n\x03END\x102"U\n\x15GetModelStatusRequest\x12<\n\nmodel_spec\x18\x01 \x01(\x0b2\x1d.tensorflo'
    b'w.serving.ModelSpecR\tmodelSpec"r\n\x16GetModelStatusResponse\x12X\n\x14model_version_status\x18\x01 \x03(\x0b2&.tensorf'
    b'low.serving.ModelVersionStatusR\x12modelVersionStatus2\x93\x03\n\x11PredictionService\x12a\n\x08Classify\x12).tensorflo'
    b'w.serving.ClassificationRequest\x1a*.tensorflow.serving.ClassificationResponse\x12X\n\x07Regress\x12%.tensorf'
    b'low.serving.RegressionRequest\x1a&.tensorflow.serving.RegressionResponse\x12R\n\x07Predict\x12".tensorflow.se'
    b'rving.PredictRequest\x1a#.tensorflow.serving.PredictResponse\x12m\n\x10GetModelMetadata\x12+.tensorflow.servi'
    b'ng.GetModelMetadataRequest\x1a,.tensorflow.serving.GetModelMetadataResponse2w\n\x0cModelService\x12g\n\x0eGetM'
    b'odelStatus\x12).tensorflow.serving.GetModelStatusRequest\x1a*.tensorflow.serving.GetModelStatusRespons'
    b'eb\x06proto3',
)

ModelSpec = message_class(DESCRIPTOR, "ModelSpec")
PredictRequest = message_class(DESCRIPTOR, "PredictRequest")
PredictResponse = message_class(DESCRIPTOR, "PredictResponse")
ExampleList = message_class(DESCRIPTOR, "ExampleList")
ExampleListWithContext = message_class(DESCRIPTOR, "ExampleListWithContext")
Input = message_class(DESCRIPTOR, "Input")
ClassificationRequest = message_class(DESCRIPTOR, "ClassificationRequest")
Class = message_class(DESCRIPTOR, "Class")
Classifications = message_class(DESCRIPTOR, "Classifications")
ClassificationResult = message_class(DESCRIPTOR, "ClassificationResult")
ClassificationResponse = message_class(DESCRIPTOR, "ClassificationResponse")
RegressionRequest = message_class(DESCRIPTOR, "RegressionRequest")
Regression = message_class(DESCRIPTOR, "Regression")
RegressionResult = message_class(DESCRIPTOR, "RegressionResult")
RegressionResponse = message_class(DESCRIPTOR, "RegressionResponse")
SignatureDefMap = message_class(DESCRIPTOR, "SignatureDefMap")
GetModelMetadataRequest = message_class(DESCRIPTOR, "GetModelMetadataRequest")
GetModelMetadataResponse = message_class(DESCRIPTOR, "GetModelMetadataResponse")
StatusProto = message_class(DESCRIPTOR, "StatusProto")
ModelVersionStatus = message_class(DESCRIPTOR, "ModelVersionStatus")
GetModelStatusRequest = message_class(DESCRIPTOR, "GetModelStatusRequest")
GetModelStatusResponse = message_class(DESCRIPTOR, "GetModelStatusResponse")
