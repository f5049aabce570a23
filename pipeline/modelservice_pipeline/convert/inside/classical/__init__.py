"""What fitted models of scikit-learn, XGBoost and LightGBM need to become ONNX; jobs are not done here."""
