"""What one writes by hand in an afternoon: FastAPI, pydantic and ONNX Runtime."""

import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI
from pydantic import BaseModel


class Instances(BaseModel):
    instances: list[list[float]]


class Predictions(BaseModel):
    predictions: list[list[float]]


options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(os.environ["MODEL"], options, providers=["CPUExecutionProvider"])
app = FastAPI()


@app.post("/predict")
async def predict(body: Instances) -> Predictions:
    (output,) = session.run(["y"], {"x": np.array(body.instances, np.float32)})
    return Predictions(predictions=output.tolist())
